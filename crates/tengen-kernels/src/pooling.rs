//! Two-dimensional pooling, plane by plane.
//!
//! Data is `[planes, height, width]`; to share work between threads, call these with the sub-slices
//! of some planes. Every window is first reduced over its rows, into a buffer, and then along the
//! buffer: most of the work is on contiguous runs, and padding is only ever seen by the buffer.

mod average;
mod max;
#[cfg(test)]
mod tests;

pub use average::{CountMode, avg_pool2d, avg_pool2d_backward};
pub use max::{max_pool2d, max_pool2d_backward, max_pool2d_backward_ties};

use std::ops::{Add, Div};

/// A floating-point type that can be pooled.
pub trait Float: Copy + PartialOrd + Add<Output = Self> + Div<Output = Self> + Send + Sync {
    /// Zero.
    const ZERO: Self;
    /// Less than every number.
    const NEG_INFINITY: Self;
    /// The count as a number.
    fn from_count(n: usize) -> Self;
}

macro_rules! float {
    ($($t:ident)*) => {$(
        impl Float for $t {
            const ZERO: $t = 0.0;
            const NEG_INFINITY: $t = $t::NEG_INFINITY;
            #[inline(always)]
            fn from_count(n: usize) -> $t {
                n as $t
            }
        }
    )*};
}
float!(f32 f64);

/// The geometry of a pooling; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    input: (usize, usize),
    output: (usize, usize),
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
}

impl Pool2d {
    /// Windows of size `kernel`, `stride` apart, over an input with `padding` on every side. `None`
    /// if a kernel or stride is 0, a padding is not less than the kernel, the kernel exceeds the
    /// padded input, or a size overflows.
    pub fn new(
        input: (usize, usize),
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
    ) -> Option<Pool2d> {
        let windows = |n: usize, k: usize, s: usize, p: usize| {
            let padded = n.checked_add(p.checked_mul(2)?)?;
            // Offsets into a plane are computed as isize.
            isize::try_from(padded).ok()?;
            if n == 0 || p >= k {
                return None;
            }
            Some(padded.checked_sub(k)?.checked_div(s)? + 1)
        };
        let output = (
            windows(input.0, kernel.0, stride.0, padding.0)?,
            windows(input.1, kernel.1, stride.1, padding.1)?,
        );
        input.0.checked_mul(input.1)?;
        output.0.checked_mul(output.1)?;
        Some(Pool2d { input, output, kernel, stride, padding })
    }

    /// Equal windows that spread evenly over the input and give `output`: with
    /// stride = ⌊input / output⌋, kernel = input − (output − 1) · stride. `None` if `output` is 0 or
    /// exceeds `input`.
    pub fn adaptive(input: (usize, usize), output: (usize, usize)) -> Option<Pool2d> {
        let window = |n: usize, o: usize| {
            let stride = n.checked_div(o).filter(|&s| s > 0)?;
            Some((n - (o - 1) * stride, stride))
        };
        let ((kh, sh), (kw, sw)) = (window(input.0, output.0)?, window(input.1, output.1)?);
        Pool2d::new(input, (kh, kw), (sh, sw), (0, 0))
    }

    /// The size of an input plane.
    pub fn input(&self) -> (usize, usize) {
        self.input
    }

    /// The size of an output plane.
    pub fn output(&self) -> (usize, usize) {
        self.output
    }

    /// How many planes there are, given the lengths of inputs and outputs.
    fn planes(&self, input: usize, output: usize) -> usize {
        let planes = input / (self.input.0 * self.input.1);
        assert_eq!(planes * self.input.0 * self.input.1, input, "pooling: input length");
        assert_eq!(planes * self.output.0 * self.output.1, output, "pooling: output length");
        planes
    }

    /// The input rows that the windows of an output row cover.
    fn rows(&self, oy: usize) -> std::ops::Range<usize> {
        let end = oy * self.stride.0 + self.kernel.0 - self.padding.0;
        (end.saturating_sub(self.kernel.0))..end.min(self.input.0)
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
    for (plane, src) in src.chunks_exact(h * w).enumerate() {
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
