//! Winograd's minimal filtering F(4×4, 3×3) for convolutions with filters of 3×3, stride 1 and
//! dilation 1, and for their gradients: 36 products per 4×4 results instead of 144.
//!
//! A tile Y of 4×4 results comes from a window d of 6×6 pixels and a filter g of 3×3 taps as
//! Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A, summed over input channels before the outer transform; so each of
//! the 36 places is a product of matrices (tiles × input channels × output channels). The gradient
//! to the input is the same with filters turned by half a turn and channels exchanged. The
//! gradient to the filters is the transposed formula, Gᵀ[(A·dY·Aᵀ) ⊙ (Bᵀ·d·B)]G, summed over
//! tiles. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); the
//! matrices are in `transform.rs`.
//!
//! Channels are taken in blocks of a register's width, so every transform works on as many channels
//! at once as a register holds. No sum depends on the number of threads.

mod filters;
mod forward;
mod planes;
mod product;
mod tiles;
mod to_filter;
mod transform;

#[cfg(test)]
mod tests;

pub use forward::{forward, forward_len, to_input, to_input_len};
pub use to_filter::{to_filter, to_filter_len};

use crate::conv::Geometry;
use crate::lanes::{Isa, Kernel, dispatch_on};

/// A batch that one group of a convolution works on.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The convolution; [`applies`] holds for it.
    pub geometry: Geometry,
    /// Images.
    pub n: usize,
    /// Elements from one image to the next.
    pub image_step: usize,
    /// Elements from one result to the next.
    pub out_step: usize,
}

/// Whether a convolution is one that this module computes: filters of 3×3, stride 1, dilation 1,
/// padding of at most 2.
pub fn applies(g: &Geometry) -> bool {
    g.filter == (3, 3)
        && g.stride == (1, 1)
        && g.dilation == (1, 1)
        && g.padding.0 <= 2
        && g.padding.1 <= 2
}

/// Runs a kernel on an instruction set that was in use.
fn on(isa: Isa, kernel: impl Kernel<Output = ()>) {
    let ran = dispatch_on(isa, kernel).is_ok();
    debug_assert!(ran);
}
