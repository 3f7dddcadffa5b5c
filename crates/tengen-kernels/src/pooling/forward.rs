//! Pooling itself.

use super::{Float, Pool2d};
use crate::lanes::prefetch;
use crate::multiversion::with_avx2;

/// The most columns that a block covers. Wider windows are pooled element by element.
const BUFFER: usize = 512;
/// The length of a buffer; the excess lets the last stride be read whole.
const BUFFER_LEN: usize = BUFFER + 2;

/// Neighbouring outputs of one row, and the columns that their windows cover.
#[derive(Clone, Copy)]
struct Block {
    /// The first output column.
    from: usize,
    /// How many outputs.
    width: usize,
    /// How many columns, padding included.
    span: usize,
    /// How many of them are padding on the left.
    left: usize,
    /// The first input column.
    x: usize,
    /// How many input columns.
    len: usize,
}

impl Pool2d {
    /// Whether all windows count as many elements.
    pub(super) fn counts_alike(&self, mode: CountMode) -> bool {
        mode == CountMode::IncludePadding || self.padding == (0, 0)
    }

    /// How many elements a whole window has.
    pub(super) fn count<T: Float>(&self) -> T {
        T::from_count(self.kernel.0 * self.kernel.1)
    }

    /// Splits an output row into blocks whose windows fit the buffer.
    fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let (kernel, stride, padding) = (self.kernel.1, self.stride.1, self.padding.1);
        let (input, output) = (self.input.1, self.output.1);
        let width = (BUFFER.saturating_sub(kernel) / stride + 1).min(output);
        (0..output).step_by(width).map(move |from| {
            let width = width.min(output - from);
            let start = from * stride;
            let left = padding.saturating_sub(start);
            let span = (width - 1) * stride + kernel;
            let x = start.saturating_sub(padding);
            Block { from, width, span, left, x, len: (span - left).min(input - x) }
        })
    }
}

/// Max pooling. A window with a NaN gives NaN.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T]) {
    p.planes(src.len(), dst.len());
    with_avx2!(T: Float, max_planes(p: &Pool2d, src: &[T], dst: &mut [T]))
}

/// Whether `v` replaces the maximum `best` of earlier elements.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn exceeds<T: Float>(v: T, best: T) -> bool {
    (v > best) | ((v != v) & (best == best))
}

#[inline(always)]
fn max_planes<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T]) {
    let max = |best: T, v: T| if exceeds(v, best) { v } else { best };
    reduce_planes(p, src, dst, T::NEG_INFINITY, max, |_, _, _| {});
}

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
    reduce_planes(p, src, dst, T::ZERO, add, |oy, b, dst| divide(p, mode, oy, b.from, dst));
}

/// Divides neighbours in output row `oy`, from `first` on, by the counts of their windows.
#[inline(always)]
pub(super) fn divide<T: Float>(
    p: &Pool2d,
    mode: CountMode,
    oy: usize,
    first: usize,
    out: &mut [T],
) {
    if p.counts_alike(mode) {
        let n = p.count();
        out.iter_mut().for_each(|v| *v = *v / n);
        return;
    }
    let rows = p.rows(oy).len();
    for (i, v) in out.iter_mut().enumerate() {
        let end = (first + i) * p.stride.1 + p.kernel.1 - p.padding.1;
        let columns = end.min(p.input.1) - end.saturating_sub(p.kernel.1);
        *v = *v / T::from_count(rows * columns);
    }
}

/// Folds every window, rows first; `finish(output row, block, outputs)` follows each block.
#[inline(always)]
fn reduce_planes<T: Float>(
    p: &Pool2d,
    src: &[T],
    dst: &mut [T],
    start: T,
    fold: impl Fn(T, T) -> T,
    finish: impl Fn(usize, Block, &mut [T]),
) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let mut buffer = [start; BUFFER_LEN];
    for (plane, at) in (0..src.len()).step_by(h * w).enumerate() {
        // The next plane arrives while this one is read.
        let (src, next) = (&src[at..at + h * w], src[at..].as_ptr().wrapping_add(h * w));
        for oy in 0..oh {
            let line = (plane * oh + oy) * ow;
            for b in p.blocks() {
                let dst = &mut dst[line + b.from..line + b.from + b.width];
                dst.fill(start);
                if b.span > BUFFER {
                    for y in p.rows(oy) {
                        let row = src[y * w + b.x..y * w + b.x + b.len].iter();
                        let row = row.fold(start, |a, &v| fold(a, v));
                        dst.iter_mut().for_each(|d| *d = fold(*d, row));
                    }
                } else {
                    buffer[..b.span].fill(start);
                    for y in p.rows(oy) {
                        for x in (b.x..b.x + b.len).step_by(64 / size_of::<T>()) {
                            prefetch(next.wrapping_add(y * w + x));
                        }
                        let row = &src[y * w + b.x..y * w + b.x + b.len];
                        let to = &mut buffer[b.left..b.left + b.len];
                        to.iter_mut().zip(row).for_each(|(t, &v)| *t = fold(*t, v));
                    }
                    for k in 0..p.kernel.1 {
                        let to = dst.iter_mut();
                        let from = &buffer[k..];
                        match p.stride.1 {
                            1 => to.zip(from).for_each(|(d, &v)| *d = fold(*d, v)),
                            2 => to
                                .zip(from.as_chunks::<2>().0)
                                .for_each(|(d, v)| *d = fold(*d, v[0])),
                            s => {
                                to.zip(from.iter().step_by(s)).for_each(|(d, &v)| *d = fold(*d, v))
                            }
                        }
                    }
                }
                finish(oy, b, dst);
            }
        }
    }
}
