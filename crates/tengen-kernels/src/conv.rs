//! Two-dimensional convolution and its gradients, on images in NCHW order.
//!
//! Here is the geometry; the sums are in `direct`, `winograd` and, without a sum over channels,
//! `depthwise`. `windows` makes products of matrices of them.

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

/// Output extent, step and dilation along one axis, if a window of `taps` fits into `n` pixels with
/// `padding` on each side and all places that it sees can be counted from any of them. Steps that no
/// window and no tap takes are no longer than need be.
fn axis(
    n: usize,
    taps: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Option<(usize, usize, usize)> {
    let reach = taps.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let padded = n.checked_add(padding.checked_mul(2)?)?;
    isize::try_from(padded).ok()?;
    let room = padded.checked_sub(reach)?;
    let out = room.checked_div(stride)? + 1;
    Some((out, stride.min(room + 1), if taps == 1 { 1 } else { dilation }))
}

impl Geometry {
    /// The geometry of a convolution of `c` to `k` channels. `None` if a window has no taps or does
    /// not fit into the padded image, if a stride is 0, or if an extent overflows.
    pub fn new(
        (c, k): (usize, usize),
        image: (usize, usize),
        filter: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
        dilation: (usize, usize),
    ) -> Option<Geometry> {
        let (down, across) = (
            axis(image.0, filter.0, stride.0, padding.0, dilation.0)?,
            axis(image.1, filter.1, stride.1, padding.1, dilation.1)?,
        );
        let g = Geometry {
            c,
            image,
            k,
            filter,
            out: (down.0, across.0),
            stride: (down.1, across.1),
            padding,
            dilation: (down.2, across.2),
        };
        let product = |extents: [usize; 3]| {
            extents.iter().try_fold(1usize, |n, e| n.checked_mul((*e).max(1)))
        };
        for extents in [[c, image.0, image.1], [c, filter.0, filter.1], [k, g.out.0, g.out.1]] {
            product(extents)?;
        }
        k.checked_mul(g.taps())?;
        Some(g)
    }

    /// [`Geometry::new`] of extents that it has accepted, with the result's as it found them.
    pub fn of_result(
        (c, k): (usize, usize),
        image: (usize, usize),
        filter: (usize, usize),
        out: (usize, usize),
        (stride, padding, dilation): ((usize, usize), (usize, usize), (usize, usize)),
    ) -> Geometry {
        let step = |n: usize, taps: usize, out: usize, stride: usize, padding: usize, d: usize| {
            let room = n + 2 * padding - ((taps - 1) * d + 1);
            debug_assert_eq!(room / stride + 1, out);
            (stride.min(room + 1), if taps == 1 { 1 } else { d })
        };
        let down = step(image.0, filter.0, out.0, stride.0, padding.0, dilation.0);
        let across = step(image.1, filter.1, out.1, stride.1, padding.1, dilation.1);
        Geometry {
            c,
            image,
            k,
            filter,
            out,
            stride: (down.0, across.0),
            padding,
            dilation: (down.1, across.1),
        }
    }

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
    /// Whether the window has one position and covers every pixel once, in their order.
    pub fn is_one_window(&self) -> bool {
        let dense = |r: usize, dilation: usize| r == 1 || dilation == 1;
        self.out == (1, 1)
            && self.filter == self.image
            && self.padding == (0, 0)
            && dense(self.filter.0, self.dilation.0)
            && dense(self.filter.1, self.dilation.1)
    }
    /// Taps of one filter, over all channels.
    pub fn taps(&self) -> usize {
        self.c * self.filter.0 * self.filter.1
    }
}

/// Numbers with the arithmetic of convolutions.
pub trait Real: Float + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self> {}
impl<T: Float + std::ops::Mul<Output = T> + std::ops::Add<Output = T>> Real for T {}
