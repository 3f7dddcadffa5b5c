//! What is summed for which results, and how the work is cut.

use crate::conv::Geometry;
use crate::lanes::{Float, Isa, isa};
use std::ops::Range;

/// Bytes of sums of the gradient to the filters that stay in the second-level cache beside the image.
pub(super) const NEAR: usize = 256 << 10;
/// Bytes of the image that a worker keeps in its second-level cache, where a row allows it.
const CACHE: usize = 256 << 10;
/// The most elements of a worker's part of the image: more are not to be had, and so many for each
/// worker can be counted.
const LARGEST: usize = 1 << 48;
/// The most columns of a block.
const COLUMNS: usize = 112;

/// A place of the filters and where it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    row: Place,
    column: Place,
    /// Which of a filter's places.
    pub filter: usize,
    /// Elements from where the window's place lies in the band.
    pub offset: usize,
}

/// A place along one axis: steps of the window from the first place of a slot.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: usize,
    index: usize,
}

/// Places of one axis by their remainder to the window's step: only remainders that taps read.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// For each slot, the place that the first window reads first.
    pub starts: Vec<isize>,
    /// Places per slot beyond the number of windows.
    pub reach: usize,
    /// Distance between windows.
    pub step: usize,
}

impl Axis {
    /// The axis on which taps lie at `offsets`, and each tap's place.
    fn new(offsets: &[isize], step: usize) -> Option<(Axis, Vec<Place>)> {
        let low = offsets.iter().copied().min().unwrap_or(0);
        let mut starts: Vec<isize> = Vec::new();
        let mut places = Vec::new();
        places.try_reserve_exact(offsets.len()).ok()?;
        let mut reach = 0;
        for offset in offsets {
            let u = offset.abs_diff(low);
            let start = low + (u % step) as isize;
            let slot = starts.iter().position(|s| *s == start).unwrap_or(starts.len());
            if slot == starts.len() {
                starts.try_reserve(1).ok()?;
                starts.push(start);
            }
            reach = reach.max(u / step);
            places.push(Place { slot, index: u / step });
        }
        Some((Axis { starts, reach, step }, places))
    }
}

/// A sum over taps and channels for every position of a grid: a convolution, or one part of its
/// gradient to the input. See the [module](super).
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Planes summed over.
    pub(super) channels: usize,
    /// Planes that result.
    pub(super) outs: usize,
    /// Height and width of the planes that are read.
    pub(super) image: (usize, usize),
    /// Rows and columns of results.
    pub(super) grid: (usize, usize),
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) taps: Vec<Tap>,
    /// Elements of a plane of results, where the first result lies in it, and from one row and one
    /// column to the next.
    pub(super) plane: usize,
    pub(super) start: usize,
    pub(super) pitch: (usize, usize),
    /// Elements of the filters from one output and one input channel to the next.
    pub(super) filter: (usize, usize),
    /// Places of a filter, those that no tap reads included.
    pub(super) area: usize,
    pub(super) layout: Layout,
}

/// Some rows and columns of results.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// How the grid is cut, and how a block's part of the image lies in the band:
/// `[channel][row slot][row][column slot][column]`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// Number of blocks down and across.
    pub cut: (usize, usize),
    /// Rows and columns per slot.
    pub rows: usize,
    pub columns: usize,
    /// Elements from one row to the next, and of a channel.
    pub row: usize,
    pub plane: usize,
}

/// Registers of output channels in a tile, elements in a register, and the most positions of a
/// tile.
pub(super) fn tile<T: Float>(outs: usize) -> (usize, usize, usize) {
    let (width, most, positions) = match isa() {
        Isa::Avx512 => (64 / size_of::<T>(), 2, 14),
        Isa::Avx2 => (32 / size_of::<T>(), 2, 6),
        Isa::Portable => (1, 4, 4),
    };
    (if outs <= width { 1 } else { most }, width, positions)
}

impl Part {
    /// The convolution.
    ///
    /// `None` if there is no memory for the plan.
    pub(super) fn forward<T>(g: &Geometry) -> Option<Part> {
        let area = g.filter.0 * g.filter.1;
        let offset =
            |k: usize, dilation: usize, padding: usize| (k * dilation) as isize - padding as isize;
        let mut taps = Vec::new();
        taps.try_reserve_exact(area).ok()?;
        for t in 0..area {
            let (ky, kx) = (t / g.filter.1, t % g.filter.1);
            taps.push((
                offset(ky, g.dilation.0, g.padding.0),
                offset(kx, g.dilation.1, g.padding.1),
                t,
            ));
        }
        let plan = Part::new((g.c, g.k), g.image, g.out, g.stride, &taps)?;
        let plan = Part { filter: (g.taps(), area), area, ..plan };
        // A filter of one tap that reads every pixel where it lies sees no rows.
        let dense = area == 1 && g.stride == (1, 1) && g.padding == (0, 0);
        if dense { plan.flat() } else { plan }.cut(CACHE / size_of::<T>(), COLUMNS)
    }

    /// The parts of the gradient to the input, each for pixels of one remainder to the stride.
    ///
    /// `None` if there is no memory for the plans.
    pub(super) fn to_input<T>(g: &Geometry) -> Option<Vec<Part>> {
        let area = g.filter.0 * g.filter.1;
        let (s, (h, w)) = (g.stride, g.image);
        let mut parts = Vec::new();
        for (a, b) in (0..s.0.min(h)).flat_map(|a| (0..s.1.min(w)).map(move |b| (a, b))) {
            // A pixel at i·s + a was under tap k of the window at i + (a + p − k·d)/s.
            let offset = |a: usize, k: usize, dilation: usize, padding: usize, stride: usize| {
                let at = (a + padding) as isize - (k * dilation) as isize;
                (at % stride as isize == 0).then_some(at / stride as isize)
            };
            let mut taps = Vec::new();
            for t in 0..area {
                let (ky, kx) = (t / g.filter.1, t % g.filter.1);
                let row = offset(a, ky, g.dilation.0, g.padding.0, s.0);
                let column = offset(b, kx, g.dilation.1, g.padding.1, s.1);
                if let Some((row, column)) = row.zip(column) {
                    taps.try_reserve(1).ok()?;
                    taps.push((row, column, t));
                }
            }
            let grid = ((h - a).div_ceil(s.0), (w - b).div_ceil(s.1));
            let plan = Part::new((g.k, g.c), g.out, grid, (1, 1), &taps)?;
            let dense = area == 1 && s == (1, 1) && g.padding == (0, 0);
            let plan = Part {
                plane: h * w,
                start: a * w + b,
                pitch: (s.0 * w, s.1),
                filter: (area, g.taps()),
                area,
                ..plan
            };
            parts.try_reserve(1).ok()?;
            let plan = if dense { plan.flat() } else { plan };
            parts.push(plan.cut(CACHE / size_of::<T>(), COLUMNS)?);
        }
        Some(parts)
    }

    /// The convolution cut for its gradient to the filters: into blocks whose positions lie one
    /// after the other in a plane.
    ///
    /// `None` if there is no memory for the plan.
    pub(super) fn to_filter<T>(g: &Geometry) -> Option<Part> {
        let plan = Part::forward::<T>(g)?;
        let columns = if plan.grid.0 == 1 {
            CACHE / (plan.channels * size_of::<T>()).max(1)
        } else {
            plan.grid.1
        };
        // Sums that are far away pass through the cache with every block: fewer blocks, then.
        let sums = plan.outs * plan.channels * plan.taps.len() * size_of::<T>();
        let cache = if sums > NEAR { 2 * CACHE } else { CACHE };
        plan.cut(cache / size_of::<T>(), columns.max(COLUMNS))
    }

    /// A sum whose results lie densely. Taps are row, column and place in the filter.
    fn new(
        (channels, outs): (usize, usize),
        image: (usize, usize),
        grid: (usize, usize),
        step: (usize, usize),
        taps: &[(isize, isize, usize)],
    ) -> Option<Part> {
        let axis = |pick: fn(&(isize, isize, usize)) -> isize, step: usize| {
            let mut offsets = Vec::new();
            offsets.try_reserve_exact(taps.len()).ok()?;
            offsets.extend(taps.iter().map(pick));
            Axis::new(&offsets, step)
        };
        let (rows, row_places) = axis(|t| t.0, step.0)?;
        let (columns, column_places) = axis(|t| t.1, step.1)?;
        let mut all = Vec::new();
        all.try_reserve_exact(taps.len()).ok()?;
        for ((row, column), tap) in row_places.into_iter().zip(column_places).zip(taps) {
            all.push(Tap { row, column, filter: tap.2, offset: 0 });
        }
        let (plane, pitch) = (grid.0 * grid.1, (grid.1, 1));
        let (start, filter, area) = (0, (0, 0), 0);
        let (taps, layout) = (all, Layout::default());
        Some(Part {
            channels,
            outs,
            image,
            grid,
            rows,
            columns,
            taps,
            plane,
            start,
            pitch,
            filter,
            area,
            layout,
        })
    }

    /// The same for planes seen as one row.
    fn flat(self) -> Part {
        let row = |(h, w): (usize, usize)| (1, h * w);
        Part { image: row(self.image), grid: row(self.grid), ..self }
    }

    /// Cuts the grid into blocks of at most `columns` whose part of the image is no more than `cache`
    /// elements. `None` if that part cannot be had.
    fn cut(mut self, cache: usize, columns: usize) -> Option<Self> {
        let slots = (self.rows.starts.len(), self.columns.starts.len());
        let across = self.grid.1.div_ceil(columns);
        let columns = self.grid.1.div_ceil(across.max(1)).checked_add(self.columns.reach)?;
        let row = slots.1.checked_mul(columns)?;
        let line = self.channels.checked_mul(slots.0)?.checked_mul(row)?;
        let most = (cache / line.max(1)).saturating_sub(self.rows.reach).max(1);
        let down = self.grid.0.div_ceil(most);
        let rows = self.grid.0.div_ceil(down.max(1)).checked_add(self.rows.reach)?;
        let plane = slots.0.checked_mul(rows)?.checked_mul(row)?;
        self.channels.checked_mul(plane).filter(|n| *n <= LARGEST)?;
        self.layout = Layout { cut: (down, across), rows, columns, row, plane };
        for tap in &mut self.taps {
            let line = (tap.row.slot * rows + tap.row.index) * row;
            tap.offset = line + tap.column.slot * columns + tap.column.index;
        }
        Some(self)
    }

    /// Elements of one group's packed filters.
    pub(super) fn packed_len<T: Float>(&self) -> usize {
        let (across, width, _) = tile::<T>(self.outs);
        self.outs.next_multiple_of(across * width) * self.channels * self.area
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.layout.cut.0 * self.layout.cut.1
    }

    /// One of them.
    pub(super) fn block(&self, i: usize) -> Block {
        let part = |n: usize, cut: usize, i: usize| i * n / cut..(i + 1) * n / cut;
        let (down, across) = self.layout.cut;
        Block {
            rows: part(self.grid.0, down, i / across),
            columns: part(self.grid.1, across, i % across),
        }
    }

    /// About where in a plane the part of the image starts that a block needs.
    pub(super) fn first(&self, block: &Block) -> usize {
        let low = |axis: &Axis, window: usize| {
            let start = axis.starts.iter().copied().min().unwrap_or(0);
            (start + (window * axis.step) as isize).max(0) as usize
        };
        let row = low(&self.rows, block.rows.start) * self.image.1;
        row + if self.layout.cut.1 > 1 { low(&self.columns, block.columns.start) } else { 0 }
    }

    /// About how many elements of a plane that part is, if they lie one after the other.
    pub(super) fn span(&self) -> usize {
        match self.image.0 {
            1 => self.layout.columns.saturating_mul(self.columns.step),
            _ => self.layout.rows.saturating_mul(self.rows.step).saturating_mul(self.image.1),
        }
    }

    /// Elements of a worker's band: whole cache lines, so that workers share none, and a register that
    /// starts at the last place.
    pub(super) fn band_len(&self) -> usize {
        (self.channels * self.layout.plane + 16).next_multiple_of(64)
    }
}
