//! Tiles of 4×4 pixels of a result, and the layouts of their transforms.

use crate::lanes::{Isa, isa};
use std::ops::Range;

/// Products per tile: the transformed window and filter are squares of 6.
pub(super) const POINTS: usize = 36;
/// Elements between the products' operands beyond their length: without them, a tile's values for
/// all products would compete for the same sets of the caches.
pub(super) const GAP: usize = 16;

/// Registers of an instruction set, and how products use them.
#[derive(Clone, Copy)]
pub(super) struct Registers {
    pub isa: Isa,
    /// Elements of a register: channels are taken in blocks of as many.
    pub width: usize,
    /// Registers across a product's tile.
    pub across: usize,
    /// Rows of a product's tile.
    pub rows: usize,
}

impl Registers {
    /// Those of the instruction set in use.
    pub fn current() -> Self {
        let isa = isa();
        let (width, across, rows) = match isa {
            Isa::Avx512 => (16, 2, 14),
            Isa::Avx2 => (8, 2, 6),
            Isa::Portable => (1, 4, 4),
        };
        Registers { isa, width, across, rows }
    }
    /// Channels across a product's tile.
    pub fn columns(&self) -> usize {
        self.width * self.across
    }
}

/// The tiles of a batch of results: image by image, row by row.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub images: usize,
    pub down: usize,
    pub across: usize,
}

/// Neighbouring tiles of one row.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Segment {
    pub image: usize,
    pub y: usize,
    pub x: usize,
    pub n: usize,
    /// Place of the first among the tiles of the range.
    pub at: usize,
}

impl Tiles {
    pub fn new(images: usize, (height, width): (usize, usize)) -> Self {
        Tiles { images, down: height.div_ceil(4), across: width.div_ceil(4) }
    }
    pub fn count(&self) -> usize {
        self.images * self.down * self.across
    }
    /// The part of a range of tiles that lies in the row of tile `range.start + at`, from there on.
    #[inline(always)]
    pub fn segment(&self, range: &Range<usize>, at: usize) -> Option<Segment> {
        let tile = range.start + at;
        if tile >= range.end {
            return None;
        }
        let (row, x) = (tile / self.across, tile % self.across);
        let n = (self.across - x).min(range.end - tile);
        Some(Segment { image: row / self.down, y: row % self.down, x, n, at })
    }
    /// Cuts all tiles into blocks of at most `most` (or one row, if that is longer than `most`
    /// allows whole rows), a multiple of `workers` where there are few.
    pub fn blocks(&self, most: usize, workers: usize) -> Blocks {
        let unit = if self.across <= most { self.across } else { 1 };
        let units = self.count() / unit;
        let mut number = units.div_ceil(most / unit);
        if number < 4 * workers {
            number = number.next_multiple_of(workers);
        }
        Blocks { unit, units, number: number.min(units) }
    }
}

/// Ranges of tiles of nearly the same length.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    unit: usize,
    units: usize,
    pub number: usize,
}

impl Blocks {
    pub fn range(&self, block: usize) -> Range<usize> {
        let at = |b: usize| b * self.units / self.number * self.unit;
        at(block)..at(block + 1)
    }
}

/// Where transformed tiles lie: `[product][channels / (group · width)][tile][group · width]`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Registers of channels that lie next to each other.
    pub group: usize,
    /// Tiles that there is room for.
    pub tiles: usize,
    /// Elements from one product to the next.
    pub point: usize,
}

impl Layout {
    /// For `channels` in registers of `width`.
    pub fn new(channels: usize, width: usize, group: usize, tiles: usize) -> Self {
        Layout { group, tiles, point: channels.next_multiple_of(width * group) * tiles + GAP }
    }
    pub fn len(&self) -> usize {
        POINTS * self.point
    }
    /// The first product's value of a register of channels of a tile.
    #[inline(always)]
    pub fn at(&self, register: usize, tile: usize, width: usize) -> usize {
        let (outer, inner) = (register / self.group, register % self.group);
        ((outer * self.tiles + tile) * self.group + inner) * width
    }
}
