//! Average pooling and its gradient.

use super::{BUFFER, BUFFER_LEN, Block, Float, Pool2d, reduce_planes};
use crate::multiversion::with_avx2;

/// Which elements the mean is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountMode {
    /// The whole window, with padding as zeros.
    IncludePadding,
    /// The elements that are not padding.
    ExcludePadding,
}

/// Average pooling.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn avg_pool2d<T: Float>(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]) {
    p.planes(src.len(), dst.len());
    with_avx2!(T: Float, avg_planes(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]))
}

#[inline(always)]
fn avg_planes<T: Float>(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]) {
    let add = |sum: T, v: T| sum + v;
    reduce_planes(p, src, dst, T::ZERO, add, |oy, b, dst| divide(p, mode, oy, b, dst));
}

/// Divides a block of output row `oy` by the counts of its windows.
#[inline(always)]
fn divide<T: Float>(p: &Pool2d, mode: CountMode, oy: usize, b: Block, out: &mut [T]) {
    if mode == CountMode::IncludePadding || p.padding == (0, 0) {
        let n = T::from_count(p.kernel.0 * p.kernel.1);
        out.iter_mut().for_each(|v| *v = *v / n);
        return;
    }
    let rows = p.rows(oy).len();
    for (i, v) in out.iter_mut().enumerate() {
        let end = (b.from + i) * p.stride.1 + p.kernel.1 - p.padding.1;
        let columns = end.min(p.input.1) - end.saturating_sub(p.kernel.1);
        *v = *v / T::from_count(rows * columns);
    }
}

/// The gradient of average pooling. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn avg_pool2d_backward<T: Float>(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]) {
    p.planes(dx.len(), dy.len());
    with_avx2!(T: Float, avg_planes_backward(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]))
}

#[inline(always)]
fn avg_planes_backward<T: Float>(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let mut buffer = [T::ZERO; BUFFER_LEN];
    let mut shares = [T::ZERO; BUFFER];
    for (dx, dy) in dx.chunks_exact_mut(h * w).zip(dy.chunks_exact(oh * ow)) {
        dx.fill(T::ZERO);
        for oy in 0..oh {
            for b in p.blocks() {
                let shares = &mut shares[..b.width];
                shares.copy_from_slice(&dy[oy * ow + b.from..oy * ow + b.from + b.width]);
                divide(p, mode, oy, b, shares);
                if b.span > BUFFER {
                    for y in p.rows(oy) {
                        let row = &mut dx[y * w + b.x..y * w + b.x + b.len];
                        row.iter_mut().for_each(|d| *d = *d + shares[0]);
                    }
                    continue;
                }
                buffer[..b.span].fill(T::ZERO);
                for k in 0..p.kernel.1 {
                    let from = shares.iter();
                    let to = &mut buffer[k..];
                    match p.stride.1 {
                        1 => to.iter_mut().zip(from).for_each(|(t, &g)| *t = *t + g),
                        2 => to
                            .as_chunks_mut::<2>()
                            .0
                            .iter_mut()
                            .zip(from)
                            .for_each(|(t, &g)| t[0] = t[0] + g),
                        s => to.iter_mut().step_by(s).zip(from).for_each(|(t, &g)| *t = *t + g),
                    }
                }
                for y in p.rows(oy) {
                    let row = &mut dx[y * w + b.x..y * w + b.x + b.len];
                    let from = &buffer[b.left..b.left + b.len];
                    row.iter_mut().zip(from).for_each(|(d, &g)| *d = *d + g);
                }
            }
        }
    }
}
