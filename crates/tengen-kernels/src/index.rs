//! Selecting, placing and counting by index.
//!
//! Data is seen as `[outer, axis, inner]` in C order. Indices may be negative, counting from the
//! end. They are all checked before anything is written, so an error leaves the output untouched;
//! [`gather`] alone, whose output is new, checks them line by line.
//! To share work between threads, call these with the sub-slices of some outer rows.

#[cfg(test)]
mod tests;

use crate::lanes::{Arch, Kernel, Lane, dispatch, prefetch};
use half::{bf16, f16};
use std::any::TypeId;
use std::ops::Range;

/// An integer type that indices come in.
pub trait Index: Copy + Send + Sync + 'static {
    /// The index as i64.
    fn to_i64(self) -> i64;
    /// The nearest value that the type has.
    fn clamped(v: i64) -> Self;
    /// Whether self < o.
    fn less(self, o: Self) -> bool;
}

macro_rules! index {
    ($($t:ty)*) => {$(
        impl Index for $t {
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self.into()
            }
            #[inline(always)]
            fn clamped(v: i64) -> Self {
                v.clamp(<$t>::MIN as i64, <$t>::MAX as i64) as $t
            }
            #[inline(always)]
            fn less(self, o: Self) -> bool {
                self < o
            }
        }
    )*};
}
index!(u8 i8 i16 i32 i64);

/// The first index that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Where it stands among the indices.
    pub position: usize,
    /// Its value.
    pub index: i64,
}

/// Checks that every index is in `-n..n`.
pub fn check_indices<I: Index>(indices: &[I], n: usize) -> Result<(), OutOfRange> {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    // An unsigned index is never below 0, and -n then stands for 0.
    let (first, last) = (I::clamped(-n), I::clamped(n - 1));
    let bad = |i: I| i.less(first) | last.less(i) | (n == 0);
    // Without an early exit the common case is one pass that vectorises.
    if !indices.iter().fold(false, |any, &i| any | bad(i)) {
        return Ok(());
    }
    let position = indices.iter().position(|&i| bad(i)).unwrap_or(0);
    Err(OutOfRange { position, index: indices[position].to_i64() })
}

/// A checked index as a position.
#[inline(always)]
fn position<I: Index>(index: I, n: usize) -> usize {
    let i = index.to_i64();
    (if i < 0 { i + n as i64 } else { i }) as usize
}

/// How many times `len` elements hold `unit`; nothing if either is 0.
fn count(len: usize, unit: usize) -> usize {
    len.checked_div(unit).unwrap_or(0)
}

/// Copies rows by index: `dst[k, :] = src[indices[k], :]`, with rows of `inner` elements.
///
/// `src` is `[rows, inner]`, `dst` is `[indices.len(), inner]`.
pub fn take_rows<T: Copy, I: Index>(
    src: &[T],
    rows: usize,
    inner: usize,
    indices: &[I],
    dst: &mut [T],
) -> Result<(), OutOfRange> {
    assert_eq!(src.len(), rows * inner, "take_rows: source length");
    assert_eq!(dst.len(), indices.len() * inner, "take_rows: destination length");
    check_indices(indices, rows)?;
    if inner == 1 {
        dst.iter_mut().zip(indices).for_each(|(d, &i)| *d = src[position(i, rows)]);
    } else if inner > 0 {
        let row = |i: I| &src[position(i, rows) * inner..][..inner];
        let Some(&last) = indices.last() else { return Ok(()) };
        let nexts = indices[1..].iter().chain(std::iter::once(&last));
        for ((d, &i), &next) in dst.chunks_exact_mut(inner).zip(indices).zip(nexts) {
            copy_ahead(row(i), d, row(next));
        }
    }
    Ok(())
}

/// Copies `src` to `dst`, of the same length, and asks for `next` on the way: rows lie anywhere, so
/// the machine does not see by itself which one follows.
#[inline(always)]
fn copy_ahead<T: Copy>(src: &[T], dst: &mut [T], next: &[T]) {
    let size = size_of::<T>().max(1);
    let (line, part) = ((64 / size).max(1), (512 / size).max(1));
    for ((d, s), n) in dst.chunks_mut(part).zip(src.chunks(part)).zip(next.chunks(part)) {
        n.iter().step_by(line).for_each(|v| prefetch(v));
        d.copy_from_slice(s);
    }
}

/// Replaces rows by index: `dst[indices[k], :] = src[k, :]`; of equal indices the last wins.
///
/// `dst` is `[rows, inner]`, `src` is `[indices.len(), inner]`.
pub fn put_rows<T: Copy, I: Index>(
    dst: &mut [T],
    rows: usize,
    inner: usize,
    indices: &[I],
    src: &[T],
) -> Result<(), OutOfRange> {
    assert_eq!(dst.len(), rows * inner, "put_rows: destination length");
    assert_eq!(src.len(), indices.len() * inner, "put_rows: source length");
    check_indices(indices, rows)?;
    for (k, &i) in indices.iter().enumerate() {
        let p = position(i, rows) * inner;
        dst[p..p + inner].copy_from_slice(&src[k * inner..(k + 1) * inner]);
    }
    Ok(())
}

/// [`put_rows`] in some columns only, so that threads can share rows whose order matters.
///
/// # Safety
/// `dst` is valid for `rows · inner` elements, of which nothing else uses these columns meanwhile.
pub unsafe fn put_columns<T: Copy, I: Index>(
    dst: *mut T,
    rows: usize,
    inner: usize,
    columns: Range<usize>,
    indices: &[I],
    src: &[T],
) -> Result<(), OutOfRange> {
    assert!(columns.start <= columns.end && columns.end <= inner, "put_columns: columns");
    assert_eq!(src.len(), indices.len() * inner, "put_columns: source length");
    check_indices(indices, rows)?;
    for (k, &i) in indices.iter().enumerate() {
        let from = &src[k * inner..][columns.clone()];
        // SAFETY: the index is less than `rows`, so these columns of its row lie in `dst`.
        unsafe {
            let to = dst.add(position(i, rows) * inner + columns.start);
            to.copy_from_nonoverlapping(from.as_ptr(), from.len());
        }
    }
    Ok(())
}

/// Adds rows by index: `dst[indices[k] - first, :] += src[k, :]` in the order of k, for the indices
/// that fall into `dst`; the gradient of [`take_rows`].
///
/// `dst` is the part of a `[rows, inner]` array that starts at row `first`, so that threads can
/// each do some rows of it; how the rows are divided changes no bit. `src` is
/// `[indices.len(), inner]`.
pub fn add_rows<T: Number, I: Index>(
    dst: &mut [T],
    first: usize,
    rows: usize,
    inner: usize,
    indices: &[I],
    src: &[T],
) -> Result<(), OutOfRange> {
    assert_eq!(src.len(), indices.len() * inner, "add_rows: source length");
    check_indices(indices, rows)?;
    let here = count(dst.len(), inner);
    assert!(first + here <= rows && here * inner == dst.len(), "add_rows: destination length");
    for (k, &i) in indices.iter().enumerate() {
        let row = position(i, rows).wrapping_sub(first);
        if row < here {
            let to = &mut dst[row * inner..(row + 1) * inner];
            to.iter_mut().zip(&src[k * inner..]).for_each(|(d, &s)| *d = d.plus(s));
        }
    }
    Ok(())
}

/// Picks elements along the axis: `dst[o, k, i] = src[o, indices[o, k, i], i]`.
///
/// `src` is `[outer, axis, inner]`; `indices` and `dst` are `[outer, picks, inner]`. After an error
/// `dst` may be written in part.
pub fn gather<T: Copy + 'static, I: Index>(
    src: &[T],
    axis: usize,
    inner: usize,
    indices: &[I],
    picks: usize,
    dst: &mut [T],
) -> Result<(), OutOfRange> {
    assert_eq!(indices.len(), dst.len(), "gather: destination length");
    if inner == 1 && axis > 0 && picks > 0 {
        let outer = indices.len() / picks;
        assert_eq!(outer * picks, indices.len(), "gather: indices are not [outer, picks]");
        assert_eq!(outer * axis, src.len(), "gather: source is not [outer, axis]");
        return dispatch(Lines { src, axis, indices, picks, dst });
    }
    along(src.len(), axis, inner, indices, picks, |from, at| dst[at] = src[from])
}

/// [`gather`] from lines of `axis` elements.
struct Lines<'a, T, I> {
    src: &'a [T],
    axis: usize,
    indices: &'a [I],
    picks: usize,
    dst: &'a mut [T],
}

impl<T: Copy + 'static, I: Index> Kernel for Lines<'_, T, I> {
    type Output = Result<(), OutOfRange>;
    #[inline(always)]
    fn run<A: Arch>(self) -> Self::Output {
        let Self { src, axis, indices, picks, dst } = self;
        let w = A::F32::W;
        // Registers move words, whatever they mean.
        let words = TypeId::of::<(T, I)>() == TypeId::of::<(u32, i32)>();
        let whole = if words && axis <= i32::MAX as usize { picks - picks % w } else { 0 };
        let lines = dst.chunks_exact_mut(picks).zip(indices.chunks_exact(picks));
        for (o, ((dst, indices), src)) in lines.zip(src.chunks_exact(axis)).enumerate() {
            check_indices(indices, axis)
                .map_err(|e| OutOfRange { position: o * picks + e.position, ..e })?;
            let next = src.as_ptr_range().end;
            for k in (0..whole).step_by(w) {
                // Elements are picked in any order: the machine does not see which come next.
                prefetch(next.wrapping_add(k));
                // SAFETY: the line has `axis` words, `w` indices into it and `w` results follow
                // `k`, and both types are those that the pointers are cast to, or as wide.
                unsafe {
                    let indices = indices.as_ptr().add(k).cast::<i32>();
                    let picked = A::F32::pick(src.as_ptr().cast(), axis as i32, indices);
                    picked.store(dst.as_mut_ptr().add(k).cast());
                }
            }
            let rest = dst[whole..].iter_mut().zip(&indices[whole..]);
            rest.for_each(|(d, &i)| *d = src[position(i, axis)]);
        }
        Ok(())
    }
}

/// Replaces elements along the axis: `dst[o, indices[o, k, i], i] = src[o, k, i]`; of equal indices
/// the last k wins.
///
/// `dst` is `[outer, axis, inner]`; `indices` and `src` are `[outer, picks, inner]`.
pub fn scatter<T: Copy, I: Index>(
    dst: &mut [T],
    axis: usize,
    inner: usize,
    indices: &[I],
    picks: usize,
    src: &[T],
) -> Result<(), OutOfRange> {
    assert_eq!(indices.len(), src.len(), "scatter: source length");
    along(dst.len(), axis, inner, indices, picks, |to, at| dst[to] = src[at])
}

/// Adds elements along the axis in the order of k: `dst[o, indices[o, k, i], i] += src[o, k, i]`;
/// the gradient of [`gather`].
///
/// `dst` is `[outer, axis, inner]`; `indices` and `src` are `[outer, picks, inner]`.
pub fn scatter_add<T: Number, I: Index>(
    dst: &mut [T],
    axis: usize,
    inner: usize,
    indices: &[I],
    picks: usize,
    src: &[T],
) -> Result<(), OutOfRange> {
    assert_eq!(indices.len(), src.len(), "scatter_add: source length");
    along(dst.len(), axis, inner, indices, picks, |to, at| dst[to] = dst[to].plus(src[at]))
}

/// Calls `f(position on the axis' side, position on the indices' side)` for every index.
#[inline(always)]
fn along<I: Index>(
    len: usize,
    axis: usize,
    inner: usize,
    indices: &[I],
    picks: usize,
    mut f: impl FnMut(usize, usize),
) -> Result<(), OutOfRange> {
    let outer = count(indices.len(), picks * inner);
    assert_eq!(outer * picks * inner, indices.len(), "indices are not [outer, picks, inner]");
    assert!(outer == 0 || outer * axis * inner == len, "data is not [outer, axis, inner]");
    check_indices(indices, axis)?;
    for o in 0..outer {
        for k in 0..picks {
            let row = (o * picks + k) * inner;
            for (i, &index) in indices[row..row + inner].iter().enumerate() {
                f((o * axis + position(index, axis)) * inner + i, row + i);
            }
        }
    }
    Ok(())
}

/// How many bytes of a mask are not 0.
pub fn count_nonzero(mask: &[u8]) -> usize {
    // Short blocks keep the counters in bytes, sixteen and more to a register.
    mask.chunks(255).map(|c| c.iter().map(|&b| u8::from(b != 0)).sum::<u8>() as usize).sum()
}

/// Writes the positions of the bytes of a mask that are not 0, plus `base`, in rising order, until
/// `dst` is full; returns how many were written.
pub fn nonzero(mask: &[u8], base: i32, dst: &mut [i32]) -> usize {
    let mut written = 0;
    for (i, &b) in mask.iter().enumerate() {
        let Some(slot) = dst.get_mut(written) else { break };
        *slot = base.wrapping_add(i as i32);
        written += usize::from(b != 0);
    }
    written
}

/// A type that sums. Integers wrap around.
pub trait Number: Copy + Send + Sync {
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
}

macro_rules! number {
    ($($t:ty, ($a:ident, $b:ident) => $plus:expr;)*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn plus(self, $b: $t) -> $t {
                let $a = self;
                $plus
            }
        }
    )*};
}
number! {
    u8, (a, b) => a.wrapping_add(b);
    i8, (a, b) => a.wrapping_add(b);
    i16, (a, b) => a.wrapping_add(b);
    i32, (a, b) => a.wrapping_add(b);
    i64, (a, b) => a.wrapping_add(b);
    f16, (a, b) => f16::from_f32(a.to_f32() + b.to_f32());
    bf16, (a, b) => bf16::from_f32(a.to_f32() + b.to_f32());
    f32, (a, b) => a + b;
    f64, (a, b) => a + b;
}
