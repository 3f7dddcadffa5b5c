//! Two-dimensional convolution and its gradients, on images in NCHW order.
//!
//! Here is the geometry; the sums are in `direct`, `winograd` and, without a sum over channels,
//! `depthwise`.

use crate::lanes::Float;

/// The geometry of a convolution of one group: an image of `c` planes of `h` × `w`, `k` filters of
/// `c` × `r` × `s`, and results of `k` planes of `oh` × `ow`. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Input channels.
    pub c: usize,
    /// Input height and width.
    pub image: (usize, usize),
    /// Output channels.
    pub k: usize,
    /// Filter height and width.
    pub filter: (usize, usize),
    /// Output height and width.
    pub out: (usize, usize),
    /// Step of the window.
    pub stride: (usize, usize),
    /// Zeros around the image, on each side.
    pub padding: (usize, usize),
    /// Distance between the filter's taps.
    pub dilation: (usize, usize),
}

impl Geometry {
    /// Elements of one image.
    pub fn image_len(&self) -> usize {
        self.c * self.image.0 * self.image.1
    }
    /// Elements of one result.
    pub fn out_len(&self) -> usize {
        self.k * self.pixels()
    }
    /// Positions of the window.
    pub fn pixels(&self) -> usize {
        self.out.0 * self.out.1
    }
    /// Taps of one filter, over all channels.
    pub fn taps(&self) -> usize {
        self.c * self.filter.0 * self.filter.1
    }
}

/// Numbers with the arithmetic of convolutions.
pub trait Real: Float + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self> {}
impl<T: Float + std::ops::Mul<Output = T> + std::ops::Add<Output = T>> Real for T {}
