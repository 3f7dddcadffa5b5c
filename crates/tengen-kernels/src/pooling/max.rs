//! Max pooling and its gradients.

use super::{BUFFER, BUFFER_LEN, Block, Float, Pool2d, reduce_planes};
use crate::multiversion::with_avx2;

/// Max pooling. Writes the maxima, and if wanted their positions `y * width + x` in the plane: the
/// first one if several are equal. A window with a NaN gives the first NaN.
///
/// # Panics
/// If the lengths are not those of equally many planes, or a plane with more than i32::MAX elements
/// should have positions.
pub fn max_pool2d<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T], index: Option<&mut [i32]>) {
    p.planes(src.len(), dst.len());
    match index {
        Some(index) => {
            assert!(i32::try_from(p.input.0 * p.input.1).is_ok(), "max_pool2d: plane too large");
            assert_eq!(index.len(), dst.len(), "max_pool2d: index length");
            with_avx2!(T: Float, max_planes(p: &Pool2d, src: &[T], dst: &mut [T], index: &mut [i32]))
        }
        None => with_avx2!(T: Float, max_planes_values(p: &Pool2d, src: &[T], dst: &mut [T])),
    }
}

/// Whether `v` replaces the maximum `best` of earlier elements.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn exceeds<T: Float>(v: T, best: T) -> bool {
    (v > best) | ((v != v) & (best == best))
}

/// Whether `v` at `vi` replaces the maximum `best` at `bi`, if the earlier of equal ones is wanted.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn exceeds_at<T: Float>(v: T, vi: i32, best: T, bi: i32) -> bool {
    exceeds(v, best) | (((v == best) | ((v != v) & (best != best))) & (vi < bi))
}

/// Folds `v` at `vi` into the maximum and its place.
#[inline(always)]
fn fold<T: Float>((best, place): (&mut T, &mut i32), v: T, vi: i32) {
    let take = exceeds_at(v, vi, *best, *place);
    *best = if take { v } else { *best };
    *place = if take { vi } else { *place };
}

#[inline(always)]
fn max_planes<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T], index: &mut [i32]) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let mut values = [T::NEG_INFINITY; BUFFER_LEN];
    let mut places = [i32::MAX; BUFFER_LEN];
    for (plane, src) in src.chunks_exact(h * w).enumerate() {
        for oy in 0..oh {
            let line = (plane * oh + oy) * ow;
            for b in p.blocks() {
                let out = line + b.from..line + b.from + b.width;
                let (dst, index) = (&mut dst[out.clone()], &mut index[out]);
                if b.span > BUFFER {
                    max_direct(p, src, p.rows(oy), b, dst, index);
                    continue;
                }
                values[..b.span].fill(T::NEG_INFINITY);
                places[..b.span].fill(i32::MAX);
                let inside = b.left..b.left + b.len;
                for y in p.rows(oy) {
                    let at = y * w + b.x;
                    let columns =
                        values[inside.clone()].iter_mut().zip(&mut places[inside.clone()]);
                    for (i, (&v, (best, place))) in
                        src[at..at + b.len].iter().zip(columns).enumerate()
                    {
                        // The comparison also takes a window's first −∞.
                        let take = exceeds(v, *best) | (*place == i32::MAX);
                        *best = if take { v } else { *best };
                        *place = if take { at as i32 + i as i32 } else { *place };
                    }
                }
                dst.fill(T::NEG_INFINITY);
                index.fill(i32::MAX);
                for k in 0..p.kernel.1 {
                    let to = dst.iter_mut().zip(&mut *index);
                    match p.stride.1 {
                        1 => to
                            .zip(values[k..].iter().zip(&places[k..]))
                            .for_each(|(to, (v, vi))| fold(to, *v, *vi)),
                        2 => to
                            .zip(
                                values[k..]
                                    .as_chunks::<2>()
                                    .0
                                    .iter()
                                    .zip(places[k..].as_chunks::<2>().0),
                            )
                            .for_each(|(to, (v, vi))| fold(to, v[0], vi[0])),
                        s => to
                            .zip(values[k..].iter().zip(&places[k..]).step_by(s))
                            .for_each(|(to, (v, vi))| fold(to, *v, *vi)),
                    }
                }
            }
        }
    }
}

/// One output whose window is wider than the buffer.
fn max_direct<T: Float>(
    p: &Pool2d,
    src: &[T],
    rows: std::ops::Range<usize>,
    b: Block,
    dst: &mut [T],
    index: &mut [i32],
) {
    let (mut best, mut place) = (T::NEG_INFINITY, i32::MAX);
    for y in rows {
        let at = y * p.input.1 + b.x;
        for (i, &v) in src[at..at + b.len].iter().enumerate() {
            if exceeds(v, best) | (place == i32::MAX) {
                (best, place) = (v, (at + i) as i32);
            }
        }
    }
    dst.fill(best);
    index.fill(place);
}

#[inline(always)]
fn max_planes_values<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T]) {
    let max = |best: T, v: T| if exceeds(v, best) { v } else { best };
    reduce_planes(p, src, dst, T::NEG_INFINITY, max, |_, _, _| {});
}

/// The gradient of max pooling that goes to the first maximum of a window: each `dy` is added to
/// `dx` at the position that the forward pass wrote. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes, or a position is outside the plane.
pub fn max_pool2d_backward<T: Float>(p: &Pool2d, dy: &[T], index: &[i32], dx: &mut [T]) {
    p.planes(dx.len(), dy.len());
    assert_eq!(index.len(), dy.len(), "max_pool2d_backward: index length");
    let (n, on) = (p.input.0 * p.input.1, p.output.0 * p.output.1);
    let outputs = dy.chunks_exact(on).zip(index.chunks_exact(on));
    for (dx, (dy, index)) in dx.chunks_exact_mut(n).zip(outputs) {
        dx.fill(T::ZERO);
        for (&g, &i) in dy.iter().zip(index) {
            let to = &mut dx[i as usize];
            *to = *to + g;
        }
    }
}

/// The gradient of max pooling that goes to every maximum of a window: each `dy` is added to `dx`
/// wherever `x` in the window equals `y`, or is NaN if `y` is. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d_backward_ties<T: Float>(p: &Pool2d, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    p.planes(x.len(), y.len());
    p.planes(dx.len(), dy.len());
    assert_eq!(x.len(), dx.len(), "max_pool2d_backward_ties: input length");
    with_avx2!(T: Float, ties_planes(p: &Pool2d, x: &[T], y: &[T], dy: &[T], dx: &mut [T]))
}

#[inline(always)]
fn ties_planes<T: Float>(p: &Pool2d, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let (s, padding) = (p.stride.1, p.padding.1);
    let mut buffers = [[T::ZERO; BUFFER + MAX_SPREAD]; 2];
    let inputs = x.chunks_exact(h * w).zip(dx.chunks_exact_mut(h * w));
    let outputs = y.chunks_exact(oh * ow).zip(dy.chunks_exact(oh * ow));
    for ((x, dx), (y, dy)) in inputs.zip(outputs) {
        dx.fill(T::ZERO);
        for oy in 0..oh {
            for b in p.blocks() {
                let line = oy * ow + b.from..oy * ow + b.from + b.width;
                let (y, dy) = (&y[line.clone()], &dy[line]);
                // The window's columns in groups of a stride, each of which meets every input
                // column at most once.
                for q in (0..p.kernel.1).step_by(s) {
                    let columns = s.min(p.kernel.1 - q);
                    // Output i of the block meets columns i * s + start.. less the padding.
                    let start = b.from * s + q;
                    if s <= MAX_SPREAD {
                        ties_spread(p, oy, start, columns, (x, dx), (y, dy), &mut buffers);
                    } else {
                        for column in start..start + columns {
                            let first = padding.saturating_sub(column).div_ceil(s).min(y.len());
                            let from = first * s + column - padding.min(first * s + column);
                            for row in p.rows(oy).filter(|_| from < w) {
                                let at = row * w + from..(row + 1) * w;
                                let inputs = x[at.clone()].iter().zip(&mut dx[at]).step_by(s);
                                let outputs = y[first..].iter().zip(&dy[first..]);
                                inputs
                                    .zip(outputs)
                                    .for_each(|((&x, dx), (&y, &g))| share(x, y, g, dx));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Up to this stride, outputs are spread out to input columns so that all runs are contiguous.
const MAX_SPREAD: usize = 8;

/// Shares gradients with the columns from `start` (before padding is taken off), `columns` of every
/// stride.
#[inline(always)]
fn ties_spread<T: Float>(
    p: &Pool2d,
    oy: usize,
    start: usize,
    columns: usize,
    (x, dx): (&[T], &mut [T]),
    (y, dy): (&[T], &[T]),
    [ys, gs]: &mut [[T; BUFFER + MAX_SPREAD]; 2],
) {
    let (w, s, padding) = (p.input.1, p.stride.1, p.padding.1);
    let n = y.len() * s;
    match s {
        1 => (ys[..n].copy_from_slice(y), gs[..n].copy_from_slice(dy)),
        2 => (spread::<T, 2>(y, 2, ys), spread::<T, 2>(dy, columns, gs)),
        s => {
            let spread = |from: &[T], columns: usize, to: &mut [T]| {
                for (to, &v) in to.chunks_exact_mut(s).zip(from) {
                    to[..columns].fill(v);
                    to[columns..].fill(T::ZERO);
                }
            };
            (spread(y, s, ys), spread(dy, columns, gs))
        }
    };
    let skip = padding.saturating_sub(start).min(n);
    let from = (start + skip - padding.min(start + skip)).min(w);
    let len = (n - skip).min(w - from);
    for row in p.rows(oy) {
        let at = row * w + from..row * w + from + len;
        let outputs = ys[skip..skip + len].iter().zip(&gs[skip..skip + len]);
        for ((&x, dx), (&y, &g)) in x[at.clone()].iter().zip(&mut dx[at]).zip(outputs) {
            share(x, y, g, dx);
        }
    }
}

/// Writes every value to the first `columns` of a group of `S`, and zeros to the others.
#[inline(always)]
fn spread<T: Float, const S: usize>(from: &[T], columns: usize, to: &mut [T]) {
    let keep: [bool; S] = std::array::from_fn(|i| i < columns);
    for (to, &v) in to.as_chunks_mut::<S>().0.iter_mut().zip(from) {
        *to = keep.map(|keep| if keep { v } else { T::ZERO });
    }
}

/// Adds `g` to the gradient of an element that is the maximum `y`.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn share<T: Float>(x: T, y: T, g: T, dx: &mut T) {
    let is_maximum = (x == y) | ((x != x) & (y != y));
    *dx = *dx + if is_maximum { g } else { T::ZERO };
}
