//! Sorting and selecting along rows.
//!
//! Rising order is stable: equal elements stay in the order of their positions. Falling order is
//! the exact reverse, so there the later of equal elements comes first. NaN counts as greater than
//! every number: last in rising, first in falling order. −0 equals +0.
//!
//! A row is packed into integers that order like its elements, with the position in the low bits;
//! these are sorted by radix, or by comparison where rows are short or elements have 64 bits.

use half::{bf16, f16};

/// An element that can be sorted.
pub trait SortKey: Copy + Send + Sync {
    /// Whether the keys need more than 32 bits.
    const WIDE: bool;
    /// An unsigned integer that orders like the elements.
    fn key(self) -> u64;
}

macro_rules! integer_keys {
    ($($t:ty, $u:ty;)*) => {$(
        impl SortKey for $t {
            const WIDE: bool = size_of::<$t>() > 4;
            #[inline(always)]
            fn key(self) -> u64 {
                // Flipping the sign bit moves the negative numbers below the others.
                (self as $u ^ (<$t>::MIN as $u)).into()
            }
        }
    )*};
}
integer_keys!(u8, u8; i8, u8; i16, u16; i32, u32; i64, u64;);

macro_rules! float_keys {
    ($($t:ty, $u:ty, $zero:expr;)*) => {$(
        impl SortKey for $t {
            const WIDE: bool = size_of::<$t>() > 4;
            #[inline(always)]
            fn key(self) -> u64 {
                const SIGN: $u = 1 << (<$u>::BITS - 1);
                // Adding +0 turns −0 into it.
                let bits = if self == $zero { 0 } else { self.to_bits() };
                let key = if bits & SIGN != 0 { !bits } else { bits | SIGN };
                if self.is_nan() { <$u>::MAX.into() } else { key.into() }
            }
        }
    )*};
}
float_keys!(f16, u16, f16::ZERO; bf16, u16, bf16::ZERO; f32, u32, 0.0; f64, u64, 0.0;);

/// How many words of scratch memory the functions here need for rows of `n` elements.
pub const fn scratch_len(n: usize) -> usize {
    n.saturating_mul(2)
}

/// Which elements come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the smallest to the greatest.
    Ascending,
    /// From the greatest to the smallest; the reverse of ascending.
    Descending,
}

/// Sorts each row of `[rows, n]`: `values` (if wanted) are the sorted elements and `indices` their
/// positions in the row.
pub fn sort_rows<T: SortKey>(
    src: &[T],
    n: usize,
    order: Order,
    values: Option<&mut [T]>,
    indices: &mut [i32],
    scratch: &mut [u64],
) {
    pick(src, n, n, order, Pick::Sorted, values, indices, scratch);
}

/// The first `k` elements of each row of `[rows, n]` in the given order; `values` (if wanted) and
/// `indices` are `[rows, k]`. Unless `sorted`, they come in an order that means nothing but is the
/// same on every run.
#[expect(clippy::too_many_arguments, reason = "sizes, options and buffers of one kernel")]
pub fn topk_rows<T: SortKey>(
    src: &[T],
    n: usize,
    k: usize,
    order: Order,
    sorted: bool,
    values: Option<&mut [T]>,
    indices: &mut [i32],
    scratch: &mut [u64],
) {
    let what = if sorted { Pick::Sorted } else { Pick::Unsorted };
    pick(src, n, k, order, what, values, indices, scratch);
}

/// The `k`-th element (counting from 0) of each row of `[rows, n]` in the given order; `values` (if
/// wanted) and `indices` are `[rows]`.
pub fn kth_rows<T: SortKey>(
    src: &[T],
    n: usize,
    k: usize,
    order: Order,
    values: Option<&mut [T]>,
    indices: &mut [i32],
    scratch: &mut [u64],
) {
    pick(src, n, k, order, Pick::Kth, values, indices, scratch);
}

#[derive(Clone, Copy, PartialEq)]
enum Pick {
    Sorted,
    Unsorted,
    Kth,
}

#[expect(clippy::too_many_arguments, reason = "sizes, options and buffers of one kernel")]
fn pick<T: SortKey>(
    src: &[T],
    n: usize,
    k: usize,
    order: Order,
    what: Pick,
    mut values: Option<&mut [T]>,
    indices: &mut [i32],
    scratch: &mut [u64],
) {
    let width = if what == Pick::Kth { 1 } else { k };
    assert!(n <= i32::MAX as usize, "rows of {n} elements have no i32 positions");
    assert!(k + usize::from(what == Pick::Kth) <= n, "{k} of {n} elements");
    let rows = src.len().checked_div(n).unwrap_or(0);
    assert_eq!(rows * n, src.len(), "source length");
    assert_eq!(rows * width, indices.len(), "indices length");
    assert!(values.as_ref().is_none_or(|v| v.len() == indices.len()), "values length");
    assert!(rows == 0 || scratch.len() >= scratch_len(n), "scratch length");
    if width == 0 {
        return;
    }
    for row in 0..rows {
        let src = &src[row * n..(row + 1) * n];
        let out = &mut indices[row * width..(row + 1) * width];
        // Complements of keys and positions put everything in reverse.
        let flip = if order == Order::Descending { u64::MAX } else { 0 };
        if T::WIDE {
            let packed = &mut scratch.as_chunks_mut::<2>().0[..n];
            for (i, (p, x)) in packed.iter_mut().zip(src).enumerate() {
                *p = [x.key() ^ flip, i as u64 ^ flip];
            }
            let found = select(packed, k, what, |p| p.sort_unstable());
            out.iter_mut().zip(found).for_each(|(o, p)| *o = (p[1] ^ flip) as i32);
        } else {
            let (packed, spare) = scratch.split_at_mut(n);
            let mut pack = |i: usize, at: usize| {
                packed[at] = (src[i].key() << 32 | i as u64) ^ flip;
            };
            // Positions rise among equal keys, as sorting by radix needs.
            if flip == 0 {
                (0..n).for_each(|i| pack(i, i));
            } else {
                (0..n).for_each(|i| pack(i, n - 1 - i));
            }
            let found = select(packed, k, what, |p| sort_packed(p, &mut spare[..n]));
            out.iter_mut().zip(found).for_each(|(o, p)| *o = (*p ^ flip) as u32 as i32);
        }
        if let Some(values) = &mut values {
            let values = &mut values[row * width..(row + 1) * width];
            values.iter_mut().zip(out).for_each(|(v, &mut i)| *v = src[i as usize]);
        }
    }
}

/// Orders as much of `packed` as is asked for and returns that part.
fn select<P: Ord>(packed: &mut [P], k: usize, what: Pick, sort: impl FnOnce(&mut [P])) -> &[P] {
    match what {
        Pick::Kth => {
            packed.select_nth_unstable(k);
            &packed[k..=k]
        }
        Pick::Unsorted | Pick::Sorted => {
            if k < packed.len() {
                packed.select_nth_unstable(k);
            }
            let found = &mut packed[..k];
            if what == Pick::Sorted {
                sort(found);
            }
            found
        }
    }
}

/// Below this length a comparison sort is faster than counting digits.
const RADIX_MIN: usize = 512;
const DIGITS: usize = 256;

/// Sorts by the upper 32 bits, and then by the lower ones, which must already be in rising order
/// among equal upper bits or the slice be short. `spare` is at least as long as `packed`.
fn sort_packed(packed: &mut [u64], spare: &mut [u64]) {
    let n = packed.len();
    // A selection of a longer row has lost the order of its positions.
    if n < RADIX_MIN || n < spare.len() {
        packed.sort_unstable();
        return;
    }
    let mut counts = [[0u32; DIGITS]; 4];
    for &p in packed.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(p, pass)] += 1;
        }
    }
    let (mut from, mut to) = (packed, &mut spare[..n]);
    let mut swapped = false;
    for (pass, counts) in counts.iter_mut().enumerate() {
        if counts.iter().any(|&c| c as usize == n) {
            continue;
        }
        let mut start = 0;
        for c in counts.iter_mut() {
            start += std::mem::replace(c, start);
        }
        for &p in from.iter() {
            let at = &mut counts[digit(p, pass)];
            to[*at as usize] = p;
            *at += 1;
        }
        std::mem::swap(&mut from, &mut to);
        swapped = !swapped;
    }
    if swapped {
        to.copy_from_slice(from);
    }
}

/// The digit of the upper half that a pass looks at.
#[inline(always)]
fn digit(packed: u64, pass: usize) -> usize {
    (packed >> (32 + 8 * pass)) as usize % DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    fn bits(n: usize, seed: u64) -> Vec<u64> {
        let mut s = seed;
        (0..n)
            .map(|_| {
                s ^= s << 13;
                s ^= s >> 7;
                s ^= s << 17;
                s
            })
            .collect()
    }

    /// Checks every function on rows of random elements against a stable sort by comparison.
    fn check<T: SortKey + PartialEq>(make: impl Fn(u64) -> T, less: impl Fn(&T, &T) -> Ordering) {
        for (rows, n) in [(3, 1), (2, 7), (1, 700), (2, 3000), (0, 5)] {
            let src: Vec<T> = bits(rows * n, 99 + n as u64).into_iter().map(&make).collect();
            let mut scratch = vec![0; scratch_len(n)];
            for order in [Order::Ascending, Order::Descending] {
                let expected: Vec<i32> = src
                    .chunks(n)
                    .flat_map(|row| {
                        let mut at: Vec<i32> = (0..n as i32).collect();
                        at.sort_by(|&a, &b| less(&row[a as usize], &row[b as usize]));
                        if order == Order::Descending {
                            at.reverse();
                        }
                        at
                    })
                    .collect();
                let (mut values, mut indices) = (src.clone(), vec![-1; rows * n]);
                sort_rows(&src, n, order, Some(&mut values), &mut indices, &mut scratch);
                assert!(indices == expected);
                for row in 0..rows {
                    for i in row * n..(row + 1) * n {
                        let from = &src[row * n + indices[i] as usize];
                        assert!(less(&values[i], from) == Ordering::Equal);
                    }
                }
                for k in [0, 1, n / 2, n] {
                    let first = |k| expected.chunks(n).flat_map(move |row| row[..k].to_vec());
                    let mut top = vec![-1; rows * k];
                    topk_rows(&src, n, k, order, true, None, &mut top, &mut scratch);
                    assert!(top.iter().copied().eq(first(k)));
                    topk_rows(&src, n, k, order, false, None, &mut top, &mut scratch);
                    for row in 0..rows {
                        let mut expected = expected[row * n..][..k].to_vec();
                        top[row * k..][..k].sort_unstable();
                        expected.sort_unstable();
                        assert!(top[row * k..][..k] == expected);
                    }
                }
                let mut kth = vec![-1; rows];
                kth_rows(&src, n, n / 3, order, None, &mut kth, &mut scratch);
                assert!(kth.iter().copied().eq(expected.chunks(n).map(|row| row[n / 3])));
            }
        }
    }

    #[test]
    fn sorts_every_type_stably_or_in_reverse_with_nan_as_the_greatest() {
        fn floats<T: PartialOrd>(a: &T, b: &T) -> Ordering {
            let is_nan = |x: &T| x.partial_cmp(x).is_none();
            a.partial_cmp(b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
        }
        check(|b| b as u8, Ord::cmp);
        check(|b| b as i8, Ord::cmp);
        check(|b| b as i16, Ord::cmp);
        check(|b| b as i32, Ord::cmp);
        check(|b| (b % 9) as i32 - 4, Ord::cmp);
        check(|b| b as i64, Ord::cmp);
        check(|b| f16::from_bits(b as u16), floats);
        check(|b| bf16::from_bits(b as u16), floats);
        check(|b| f32::from_bits(b as u32), floats);
        check(f64::from_bits, floats);
        let special = [f32::NAN, -f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1.0, -1.0];
        check(move |b| special[b as usize % 8], floats);
        check(move |b| special[b as usize % 8] as f64, floats);
    }

    #[test]
    fn rows_without_elements_have_no_order() {
        sort_rows::<f32>(&[], 0, Order::Ascending, None, &mut [], &mut []);
    }
}
