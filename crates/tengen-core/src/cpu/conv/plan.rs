//! The rule by which a convolution's evaluation is chosen.

use super::cost;
use crate::DType;
use crate::ops::conv::{Pass, winograd_enabled};
use tengen_kernels::conv::Geometry;
use tengen_kernels::winograd;

/// Ways to evaluate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Winograd's minimal filtering: the fewest multiplications.
    Winograd,
    /// One plane with one filter at a time: there is no sum over channels.
    Depthwise,
    /// A product of the filters with the pixels of each image.
    Pointwise,
    /// Products with gathered windows: each element is moved once for each window that covers it.
    Gathered,
    /// Sums over taps and channels, or products with what taps cover: everything else.
    Direct,
}

/// Channels on either side, and pairs of them, from which transforms cost less than the
/// multiplications they save: measured against direct sums from 3 to 64 channels, on images of 3×3
/// to 56×56, with AVX-512 and with AVX2.
const CHANNELS: usize = 8;
/// See [`CHANNELS`].
const PAIRS: usize = 256;
/// Results per tile of 16 from which whole tiles are worth computing, likewise.
const FILLED: usize = 6;

/// Filters of one input channel that are worth registers of output channels.
const FILTERS: usize = 4;

/// Summed channels up to which, and pixels from which, filters of one tap are faster as a product:
/// the fewer the sums, the more a direct sum spends on bringing its results into the image's order.
const FEW: usize = 128;
/// See [`FEW`].
const MANY: usize = 512;

/// The way for one group of a convolution of `n` images.
pub(super) fn way(pass: Pass, g: &Geometry, n: usize, dtype: DType) -> Way {
    // A plane of input with few filters of its own: no registers of output channels to fill.
    if g.c == 1 && g.k < FILTERS {
        let apart = cost::depthwise(pass, g);
        return if cost::gathered(pass, g, n) < apart { Way::Gathered } else { Way::Depthwise };
    }
    let (ones, none) = ((1, 1), (0, 0));
    let one_tap = g.filter == ones && g.stride == ones && g.padding == none;
    let sums = match pass {
        Pass::Forward => g.c,
        Pass::ToInput(..) => g.k,
        Pass::ToFilter(..) => usize::MAX,
    };
    if one_tap && sums <= FEW && g.pixels() >= MANY {
        return Way::Pointwise;
    }
    // Tiles of 4×4 are computed whole: of the gradient to the input, those of the image.
    let (height, width) = if let Pass::ToInput(..) = pass { g.image } else { g.out };
    let tiles = height.div_ceil(4) * width.div_ceil(4);
    let many = g.c.min(g.k) >= CHANNELS && g.c.saturating_mul(g.k) >= PAIRS;
    if dtype == DType::F32
        && winograd::applies(g)
        && many
        && height * width >= FILLED * tiles
        && winograd_enabled()
    {
        return Way::Winograd;
    }
    if cost::gathered(pass, g, n) < cost::direct(pass, g) { Way::Gathered } else { Way::Direct }
}
