//! Two-dimensional pooling, plane by plane.
//!
//! Data is `[planes, height, width]`; to share work between threads, call these with the sub-slices
//! of some planes. Every window is first reduced over its rows, into a buffer, and then along the
//! buffer: most of the work is on contiguous runs, and padding is only ever seen by the buffer.

mod backward;
mod forward;
mod gather;
mod shares;
mod spread;
#[cfg(test)]
mod tests;

pub use backward::{avg_pool2d_backward, max_pool2d_backward};
pub use forward::{CountMode, avg_pool2d, max_pool2d};
pub use gather::max_pool2d_gather;

use crate::lanes;
use std::ops::{Add, Div};

/// A floating-point type that can be pooled.
pub trait Float: lanes::Float + Add<Output = Self> + Div<Output = Self> {
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
    /// padded input, or a size or the count of a window's elements overflows.
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
        kernel.0.checked_mul(kernel.1)?;
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
}
