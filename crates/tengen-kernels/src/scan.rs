//! Running sums, products and extrema.
//!
//! Data is seen as `[outer, axis, inner]` in C order. To share work between threads, call with the
//! sub-slices of some outer rows.

#[cfg(test)]
mod tests;

use half::{bf16, f16};

/// An element type, with the wider type that running sums and products are kept in: f64 for f32 and
/// f64, f32 for the half types. Integers wrap around.
pub trait Scanned: Copy + PartialOrd + Send + Sync {
    /// The wider type.
    type Wide: Copy;
    /// The element in it.
    fn widen(self) -> Self::Wide;
    /// The nearest element.
    fn narrow(v: Self::Wide) -> Self;
    /// a + b
    fn plus(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// a·b
    fn times(a: Self::Wide, b: Self::Wide) -> Self::Wide;
}

macro_rules! scanned {
    ($($t:ty, $wide:ty, $x:ident => $widen:expr, $narrow:expr;
        ($a:ident, $b:ident) => $plus:expr, $times:expr;)*) => {$(
        impl Scanned for $t {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                let $x = self;
                $widen
            }
            #[inline(always)]
            fn narrow($x: $wide) -> $t {
                $narrow
            }
            #[inline(always)]
            fn plus($a: $wide, $b: $wide) -> $wide {
                $plus
            }
            #[inline(always)]
            fn times($a: $wide, $b: $wide) -> $wide {
                $times
            }
        }
    )*};
    (integers $($t:ty)*) => {
        scanned! { $($t, $t, x => x, x; (a, b) => a.wrapping_add(b), a.wrapping_mul(b);)* }
    };
}
scanned! { integers u8 i8 i16 i32 i64 }
scanned! {
    f16, f32, x => x.to_f32(), f16::from_f32(x); (a, b) => a + b, a * b;
    bf16, f32, x => x.to_f32(), bf16::from_f32(x); (a, b) => a + b, a * b;
    f32, f64, x => x.into(), x as f32; (a, b) => a + b, a * b;
    f64, f64, x => x, x; (a, b) => a + b, a * b;
}

/// What runs along an axis.
pub trait Kind<T>: 'static {
    /// What is kept of the elements so far.
    type Kept: Copy;
    /// What a result has beside its value: its position, or nothing.
    type At: Send + Copy;
    /// What is kept of one element.
    fn first(x: T, at: i32) -> Self::Kept;
    /// What is kept with one more.
    fn next(kept: Self::Kept, x: T, at: i32) -> Self::Kept;
    /// The result.
    fn result(kept: Self::Kept) -> (T, Self::At);
}

/// Sums.
pub struct Sum;
/// Products.
pub struct Prod;
/// The greatest element and its position, of equal ones the last; from a NaN on, the last NaN.
pub struct Max;
/// The least element, likewise.
pub struct Min;

macro_rules! folds {
    ($($kind:ident = $f:ident;)*) => {$(
        impl<T: Scanned> Kind<T> for $kind {
            type Kept = T::Wide;
            type At = ();
            #[inline(always)]
            fn first(x: T, _: i32) -> T::Wide {
                x.widen()
            }
            #[inline(always)]
            fn next(kept: T::Wide, x: T, _: i32) -> T::Wide {
                T::$f(kept, x.widen())
            }
            #[inline(always)]
            fn result(kept: T::Wide) -> (T, ()) {
                (T::narrow(kept), ())
            }
        }
    )*};
}
folds! { Sum = plus; Prod = times; }

macro_rules! extrema {
    ($($kind:ident($x:ident, $top:ident) = $wins:expr;)*) => {$(
        impl<T: Scanned> Kind<T> for $kind {
            type Kept = (T, i32);
            type At = i32;
            #[inline(always)]
            fn first(x: T, at: i32) -> (T, i32) {
                (x, at)
            }
            #[inline(always)]
            fn next(kept: (T, i32), $x: T, at: i32) -> (T, i32) {
                let $top = kept.0;
                // No number wins against NaN, and NaN against everything.
                if $wins || $x.partial_cmp(&$x).is_none() { ($x, at) } else { kept }
            }
            #[inline(always)]
            fn result(kept: (T, i32)) -> (T, i32) {
                kept
            }
        }
    )*};
}
extrema! { Max(x, top) = x >= top; Min(x, top) = x <= top; }

/// The results of `K` along the axis of `[outer, axis, inner]`: `dst[o, k, i]` is that of
/// `src[o, ..=k, i]`, or of `src[o, k.., i]` from its end if `reverse`; `at` is where it stands along
/// the axis. A slice of `()`, for kinds without positions, takes no memory.
///
/// # Panics
/// If the lengths differ.
pub fn scan<T: Scanned, K: Kind<T>>(
    src: &[T],
    axis: usize,
    inner: usize,
    reverse: bool,
    dst: &mut [T],
    at: &mut [K::At],
) {
    assert!(src.len() == dst.len() && src.len() == at.len(), "scan: lengths");
    let plane = axis * inner;
    if plane == 0 {
        return;
    }
    let planes = dst.chunks_exact_mut(plane).zip(at.chunks_exact_mut(plane));
    for (src, (dst, at)) in src.chunks_exact(plane).zip(planes) {
        match (inner, reverse) {
            (1, false) => line::<T, K>(src, dst, at, 0..axis),
            (1, true) => line::<T, K>(src, dst, at, (0..axis).rev()),
            (_, false) => columns::<T, K>(src, inner, dst, at, 0..axis),
            (_, true) => columns::<T, K>(src, inner, dst, at, (0..axis).rev()),
        }
    }
}

/// One line, in an order of its elements.
#[inline(always)]
fn line<T: Scanned, K: Kind<T>>(
    src: &[T],
    dst: &mut [T],
    at: &mut [K::At],
    order: impl Iterator<Item = usize>,
) {
    let mut kept = None;
    for k in order {
        let (x, position) = (src[k], k as i32);
        let now = kept.map_or_else(|| K::first(x, position), |v| K::next(v, x, position));
        (dst[k], at[k]) = K::result(now);
        kept = Some(now);
    }
}

/// Lines side by side, in an order of their elements.
#[inline(always)]
fn columns<T: Scanned, K: Kind<T>>(
    src: &[T],
    inner: usize,
    dst: &mut [T],
    at: &mut [K::At],
    order: impl Iterator<Item = usize> + Clone,
) {
    // Enough columns for full vectors, few enough to keep what they have in L1.
    const BLOCK: usize = 64;
    for from in (0..inner).step_by(BLOCK) {
        let width = BLOCK.min(inner - from);
        let mut kept = None;
        for k in order.clone() {
            let (row, position) = (k * inner + from..k * inner + from + width, k as i32);
            let (src, dst, at) = (&src[row.clone()], &mut dst[row.clone()], &mut at[row]);
            let first = [K::first(src[0], position); BLOCK];
            let started = kept.is_some();
            let kept = kept.get_or_insert(first);
            for ((kept, &x), (d, a)) in kept.iter_mut().zip(src).zip(dst.iter_mut().zip(at)) {
                *kept = if started { K::next(*kept, x, position) } else { K::first(x, position) };
                (*d, *a) = K::result(*kept);
            }
        }
    }
}
