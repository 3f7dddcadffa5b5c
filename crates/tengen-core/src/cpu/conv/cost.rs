//! About how many cycles the ways of a convolution take for one image of one group.
//!
//! These are models of the kernels with AVX-512, good to a factor of two: they tell where one way
//! takes several times what another takes. In most shapes direct sums are the faster ones. They fall
//! behind where most of what a tile sums is padding (the gradient to the input, of filters as large
//! as the image), where rows of results are shorter than tiles, and where the window reaches so far
//! that a block's part of the image is many times the block.

use crate::ops::conv::Pass;
use tengen_kernels::conv::Geometry;
use tengen_kernels::windows::{Order, Windows};

/// Elements in a register, and positions of a tile of direct sums.
const LANES: f64 = 16.0;
const TILE: f64 = 14.0;
/// The most registers of positions of a strip.
const STRIP: f64 = 3.0;
/// The fewest cycles between two sums into one register.
const LATENCY: f64 = 4.0;
/// Elements of the image that a block of direct sums keeps near, and its widest row.
const NEAR: f64 = 65536.0;
const COLUMNS: f64 = 112.0;
/// By how much the others must be slower for gathered windows: theirs is the rougher estimate.
const MARGIN: f64 = 1.15;
/// What gathering costs once: memory, and several calls of the thread pool.
const ONCE: f64 = 20_000.0;

/// A pair of extents in the arithmetic of estimates, which does not overflow.
fn pair((a, b): (usize, usize)) -> (f64, f64) {
    (a as f64, b as f64)
}

/// Sums over taps and channels for a grid of positions, in tiles of a row's positions × two registers
/// of output channels (or one), or in strips of registers of positions × few output channels.
fn sums((rows, columns): (f64, f64), terms: f64, outs: f64) -> f64 {
    let wide = (columns / LANES).ceil();
    if outs <= LANES / 2.0 && outs * wide < columns {
        let channels = if outs <= 4.0 { 4.0 } else { 8.0 };
        return rows * (LATENCY * (wide / STRIP).ceil()).max(channels * wide / 2.0) * terms;
    }
    let tiles = (columns / TILE).ceil();
    rows * columns.max(LATENCY * tiles) * terms * registers(outs)
}

/// Pairs of registers of output channels; a single one takes more than half of a pair's time.
fn registers(outs: f64) -> f64 {
    if outs <= LANES { 0.6 } else { (outs / (2.0 * LANES)).ceil() }
}

/// Copies of the image's parts that blocks of the grid need.
fn parts(grid: (f64, f64), channels: f64, reach: (f64, f64), slots: (f64, f64)) -> f64 {
    let across = (grid.1 / COLUMNS).ceil();
    let row = slots.1 * (grid.1 / across + reach.1);
    let most = (NEAR / (channels * slots.0 * row) - reach.0).max(1.0);
    let down = (grid.0 / most).ceil();
    down * across * channels * slots.0 * row * (grid.0 / down + reach.0)
}

/// Direct sums.
pub(super) fn direct(pass: Pass, g: &Geometry) -> f64 {
    let (image, filter, out) = (pair(g.image), pair(g.filter), pair(g.out));
    let (stride, dilation) = (pair(g.stride), pair(g.dilation));
    let (c, k, area) = (g.c as f64, g.k as f64, filter.0 * filter.1);
    let reach =
        ((filter.0 - 1.0) * dilation.0 / stride.0, (filter.1 - 1.0) * dilation.1 / stride.1);
    let slots = (stride.0.min(filter.0), stride.1.min(filter.1));
    // Elements that lie apart are moved one by one.
    let apart = |step: f64| if step > 2.0 { 2.0 } else { 0.5 };
    match pass {
        Pass::Forward => sums(out, area * c, k) + apart(stride.1) * parts(out, c, reach, slots),
        Pass::ToInput(..) => {
            // A grid for each remainder to the stride, with its share of the taps.
            let grid = ((image.0 / stride.0).ceil(), (image.1 / stride.1).ceil());
            let grids = stride.0.min(image.0) * stride.1.min(image.1);
            sums(grid, area * k, c)
                + 0.5 * grids * parts(grid, k, reach, (1.0, 1.0))
                + apart(stride.1) * image.0 * image.1 * c
        }
        Pass::ToFilter(..) => {
            let (terms, wide) = (area * c, registers(k));
            let pixels = out.0 * out.1;
            // Every tile starts anew in every row, and its sums are stored every 512 positions.
            pixels * terms * wide
                + 0.6 * out.0 * terms * wide
                + 3.0 * terms * (k / LANES).ceil() * (pixels / 512.0).max(1.0)
                + apart(stride.1) * parts(out, c, reach, slots)
        }
    }
}

/// A plane and a filter at a time, for all filters of the plane.
pub(super) fn depthwise(pass: Pass, g: &Geometry) -> f64 {
    let (image, filter, out) = (pair(g.image), pair(g.filter), pair(g.out));
    let (stride, dilation) = (pair(g.stride), pair(g.dilation));
    let area = filter.0 * filter.1;
    let registers = |columns: f64| (columns / LANES).ceil();
    let reach = ((filter.0 - 1.0) * dilation.0, (filter.1 - 1.0) * dilation.1);
    let plane = image.0 * image.1 * if stride.1 > 2.0 { 2.0 } else { 0.5 };
    let plane = plane + 0.1 * (image.0 + reach.0) * (image.1 + reach.1);
    g.k as f64
        * match pass {
            // Rows are summed by fours.
            Pass::Forward => (out.0 / 4.0).ceil() * 4.0 * registers(out.1) * area + plane,
            Pass::ToInput(..) => {
                let rows = (image.0 / stride.0 / 4.0).ceil() * 4.0;
                rows * registers(image.1 / stride.1) * area + plane
            }
            Pass::ToFilter(..) => out.0 * registers(out.1) * area + 4.0 * area + plane,
        }
}

/// Products with gathered windows, for one of `n` images, with the margin that the others have.
pub(super) fn gathered(pass: Pass, g: &Geometry, n: usize) -> f64 {
    let (terms, k, n) = (g.taps() as f64, g.k as f64, n as f64);
    let windows = terms * g.pixels() as f64;
    // To gather and to pack; a window that is the image as it lies is only packed.
    let (run, step) = match Windows::new(g).order() {
        Order::Taps => (g.out.1 as f64, g.stride.1),
        Order::Positions => (g.filter.1 as f64, g.dilation.1),
    };
    let run = if step == 1 { run } else { run / 4.0 };
    let moves = if g.is_one_window() { 0.25 } else { 6.0 / run.max(1.0) + 1.25 };
    // Sums that few results share wait for memory.
    let product = windows * k / (2.0 * LANES) * 1.2;
    let filters = terms * k * if let Pass::ToFilter(..) = pass { 1.0 } else { 0.5 };
    MARGIN * (windows * moves + product + (filters + ONCE) / n)
}
