//! The convolution, and the gradient to its input, which is a convolution too.

use super::filters::{FilterTransform, Filters, filter_point};
use super::planes::{FromTiles, Planes, ToTiles, rows_len};
use super::product::Products;
use super::tiles::{Layout, POINTS, Registers, Tiles};
use super::{Batch, on};
use crate::epilogue::Epilogue;
use crate::pool::{self, Shared, share};
use std::ops::Range;

/// Bytes of transformed tiles that a worker keeps in its second-level cache.
const CACHE: usize = 512 << 10;
/// Registers of input channels whose filters a worker transforms at a time, where it transforms
/// them as it goes: with their products they stay in the second-level cache.
const STEP: usize = 4;
/// Tiles that are shared by workers which transform filters as they go.
const TILES: usize = 128;

/// How a convolution is cut.
struct Plan {
    registers: Registers,
    inputs: usize,
    outputs: usize,
    tiles: Tiles,
    /// Whether workers take output channels each and share tiles; else they take tiles each and
    /// share transformed filters.
    by_channels: bool,
    /// Tiles of a block.
    block: usize,
}

impl Plan {
    fn new(tiles: Tiles, inputs: usize, outputs: usize) -> Self {
        let registers = Registers::current();
        let padded = inputs.next_multiple_of(registers.width).max(1);
        let fits = CACHE / (POINTS * padded * size_of::<f32>());
        let by_channels = fits < registers.rows || tiles.count() <= TILES;
        let block = if by_channels {
            TILES
        } else {
            let whole = fits / registers.rows * registers.rows;
            whole.min(2 * registers.rows)
        };
        let block = block.min(tiles.count());
        Plan { registers, inputs, outputs, tiles, by_channels, block }
    }
    /// Registers of input channels.
    fn input_registers(&self) -> usize {
        self.inputs.div_ceil(self.registers.width)
    }
    /// Products' widths of output channels.
    fn columns(&self) -> usize {
        self.outputs.div_ceil(self.registers.columns())
    }
    fn layout(&self) -> Layout {
        Layout::new(self.inputs, self.registers.width, 1, self.block)
    }
    /// Elements from one product to the next of transformed filters.
    fn filter_point(&self) -> usize {
        let inputs = if self.by_channels {
            self.inputs.min(STEP * self.registers.width)
        } else {
            self.inputs
        };
        filter_point(inputs, &self.registers)
    }
    fn filters_len(&self) -> usize {
        POINTS * self.filter_point()
    }
    fn sums_len(&self) -> usize {
        POINTS * self.block * self.registers.columns()
    }
    fn rows_len(&self) -> usize {
        rows_len(self.block.min(self.tiles.across), self.registers.width)
    }
    /// Elements that workers share.
    fn shared_len(&self) -> usize {
        if self.by_channels { self.layout().len() } else { self.columns() * self.filters_len() }
    }
    /// Elements of each worker's own.
    fn own_len(&self) -> usize {
        let operand = if self.by_channels { self.filters_len() } else { self.layout().len() };
        operand + self.sums_len() + self.rows_len()
    }
    fn workers(&self) -> usize {
        pool::workers(POINTS * self.tiles.count() * self.inputs * self.outputs)
    }
    fn len(&self) -> usize {
        self.shared_len() + self.workers() * self.own_len()
    }
}

/// A convolution, whichever gradient it may be.
struct Convolution<'a> {
    plan: Plan,
    filters: Filters,
    from: Planes<*const f32>,
    padding: (usize, usize),
    to: Planes<*mut f32>,
    epilogue: Epilogue<'a, f32>,
}

// SAFETY: the filters and the planes that are read are shared; tasks write places of their own.
unsafe impl Sync for Convolution<'_> {}

impl Convolution<'_> {
    /// # Safety
    /// The planes and the filters are as the plan says, and no one else uses those written to.
    unsafe fn run(&self, work: &mut [f32]) {
        let own = self.plan.own_len();
        let (shared, rest) = work.split_at_mut(self.plan.shared_len());
        let workers = self.plan.workers().min(rest.len() / own);
        assert!(workers > 0, "the workspace is too short");
        let (shared, own) =
            (Shared(shared.as_mut_ptr()), Own { all: Shared(rest.as_mut_ptr()), own });
        if self.plan.by_channels {
            self.by_channels(workers, shared, own);
        } else {
            self.by_tiles(workers, shared, own);
        }
    }

    /// Transforms all filters, and then every block of tiles from end to end.
    fn by_tiles(&self, workers: usize, filters: Shared<f32>, own: Own) {
        let plan = &self.plan;
        let (registers, point) = (&plan.registers, plan.filter_point());
        let steps = plan.input_registers().div_ceil(STEP).max(1);
        share(workers, plan.columns() * steps, |_, task| {
            let (column, step) = (task / steps, task % steps);
            let inputs = step * STEP..plan.input_registers().min((step + 1) * STEP);
            let at = inputs.start * registers.width * registers.columns();
            on(
                registers.isa,
                FilterTransform {
                    filters: self.filters,
                    first: column * registers.across,
                    across: registers.across,
                    inputs,
                    out: filters.at(column * plan.filters_len() + at),
                    point,
                },
            );
        });
        let layout = plan.layout();
        let blocks = plan.tiles.blocks(plan.block, workers);
        share(workers, blocks.number, |worker, block| {
            let range = blocks.range(block);
            let tiles = own.of(worker);
            let sums = tiles.wrapping_add(layout.len());
            let rows = sums.wrapping_add(plan.sums_len());
            on(
                registers.isa,
                ToTiles::<6> {
                    planes: self.from,
                    padding: self.padding,
                    tiles: plan.tiles,
                    range: range.clone(),
                    registers: 0..plan.input_registers(),
                    layout,
                    out: tiles,
                    rows,
                },
            );
            for column in 0..plan.columns() {
                let products = Products {
                    tiles,
                    layout,
                    range: 0..range.len(),
                    filters: filters.at(column * plan.filters_len()),
                    filter_point: point,
                    inputs: plan.input_registers(),
                    sums,
                    accumulate: false,
                };
                on(registers.isa, products);
                self.store(range.clone(), column, sums, rows);
            }
        });
    }

    /// Superblocks of tiles: transforms one, and then takes it through every filter.
    fn by_channels(&self, workers: usize, tiles: Shared<f32>, own: Own) {
        let plan = &self.plan;
        let (registers, point, layout) = (&plan.registers, plan.filter_point(), plan.layout());
        let blocks = plan.tiles.blocks(plan.block, 1);
        let steps = plan.input_registers().div_ceil(STEP).max(1);
        for block in 0..blocks.number {
            let range = blocks.range(block);
            let small = 2 * registers.rows;
            let parts = range.len().div_ceil(small);
            share(workers, parts * steps, |worker, task| {
                let (part, step) = (task % parts, task / parts);
                let at = part * range.len() / parts;
                let to = (part + 1) * range.len() / parts;
                on(
                    registers.isa,
                    ToTiles::<6> {
                        planes: self.from,
                        padding: self.padding,
                        tiles: plan.tiles,
                        range: range.start + at..range.start + to,
                        registers: step * STEP..plan.input_registers().min((step + 1) * STEP),
                        layout,
                        out: tiles.at(at * registers.width),
                        rows: own.of(worker),
                    },
                );
            });
            share(workers, plan.columns(), |worker, column| {
                let filters = own.of(worker);
                let sums = filters.wrapping_add(plan.filters_len());
                let rows = sums.wrapping_add(plan.sums_len());
                for step in 0..steps {
                    let inputs = step * STEP..plan.input_registers().min((step + 1) * STEP);
                    on(
                        registers.isa,
                        FilterTransform {
                            filters: self.filters,
                            first: column * registers.across,
                            across: registers.across,
                            inputs: inputs.clone(),
                            out: filters,
                            point,
                        },
                    );
                    let products = Products {
                        tiles: tiles.at(layout.at(inputs.start, 0, registers.width)),
                        layout,
                        range: 0..range.len(),
                        filters,
                        filter_point: point,
                        inputs: inputs.len(),
                        sums,
                        accumulate: step > 0,
                    };
                    on(registers.isa, products);
                }
                self.store(range.clone(), column, sums, rows);
            });
        }
    }

    /// Turns the sums of a block of tiles into results.
    fn store(&self, range: Range<usize>, column: usize, sums: *mut f32, rows: *mut f32) {
        let registers = &self.plan.registers;
        on(
            registers.isa,
            FromTiles {
                products: sums,
                layout_tiles: self.plan.block,
                tiles: self.plan.tiles,
                range,
                first: column * registers.across,
                registers: registers.across,
                planes: self.to,
                epilogue: self.epilogue,
                rows,
            },
        );
    }
}

/// Workers' own parts of the workspace.
#[derive(Clone, Copy)]
pub(super) struct Own {
    pub all: Shared<f32>,
    pub own: usize,
}

impl Own {
    pub fn of(self, worker: usize) -> *mut f32 {
        self.all.at(worker * self.own)
    }
}

impl Batch {
    /// Elements from the first of the batch's images of `len` to the end of its last.
    fn span(&self, step: usize, len: usize) -> usize {
        if self.n == 0 { 0 } else { (self.n - 1) * step + len }
    }
    fn image_span(&self) -> usize {
        self.span(self.image_step, self.geometry.image_len())
    }
    fn out_span(&self) -> usize {
        self.span(self.out_step, self.geometry.out_len())
    }
    fn forward_plan(&self) -> Plan {
        let g = &self.geometry;
        Plan::new(Tiles::new(self.n, g.out), g.c, g.k)
    }
    fn input_plan(&self) -> Plan {
        let g = &self.geometry;
        Plan::new(Tiles::new(self.n, g.image), g.k, g.c)
    }
}

/// Elements of workspace that [`forward`] takes, with the threads and instruction set in use.
pub fn forward_len(batch: &Batch) -> usize {
    batch.forward_plan().len()
}

/// Elements of workspace that [`to_input`] takes, with the threads and instruction set in use.
pub fn to_input_len(batch: &Batch) -> usize {
    batch.input_plan().len()
}

/// The convolution of images `x` with filters `w` (`[k, c, 3, 3]`), through the epilogue, to `y`.
///
/// # Panics
/// If a slice is too short.
pub fn forward(
    batch: &Batch,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    epilogue: &Epilogue<'_, f32>,
    work: &mut [f32],
) {
    let g = &batch.geometry;
    assert!(applies_to(batch, x.len(), w.len(), y.len()));
    let plan = batch.forward_plan();
    if plan.tiles.count() == 0 || g.k == 0 {
        return;
    }
    let (height, width) = g.image;
    let from = Planes { ptr: x.as_ptr(), step: batch.image_step, channels: g.c, height, width };
    let (height, width) = g.out;
    let to = Planes { ptr: y.as_mut_ptr(), step: batch.out_step, channels: g.k, height, width };
    let filters = Filters { ptr: w.as_ptr(), outputs: g.k, inputs: g.c, exchanged: false };
    let convolution =
        Convolution { plan, filters, from, padding: g.padding, to, epilogue: *epilogue };
    // SAFETY: the slices have the lengths that the plan takes, by the assertion.
    unsafe { convolution.run(work) }
}

/// The gradient to the images, given the gradient `dy` to the results, to `dx`.
///
/// # Panics
/// If a slice is too short.
pub fn to_input(batch: &Batch, dy: &[f32], w: &[f32], dx: &mut [f32], work: &mut [f32]) {
    let g = &batch.geometry;
    assert!(applies_to(batch, dx.len(), w.len(), dy.len()));
    let plan = batch.input_plan();
    if plan.tiles.count() == 0 || g.c == 0 {
        return;
    }
    let (height, width) = g.out;
    let from = Planes { ptr: dy.as_ptr(), step: batch.out_step, channels: g.k, height, width };
    let (height, width) = g.image;
    let to = Planes { ptr: dx.as_mut_ptr(), step: batch.image_step, channels: g.c, height, width };
    let filters = Filters { ptr: w.as_ptr(), outputs: g.c, inputs: g.k, exchanged: true };
    let padding = (2 - g.padding.0, 2 - g.padding.1);
    let convolution =
        Convolution { plan, filters, from, padding, to, epilogue: Epilogue::default() };
    // SAFETY: the slices have the lengths that the plan takes, by the assertion.
    unsafe { convolution.run(work) }
}

/// Whether a batch is this module's, and slices are long enough for it.
pub(super) fn applies_to(batch: &Batch, image: usize, filters: usize, out: usize) -> bool {
    let g = &batch.geometry;
    let extent = |n: usize, p: usize| (n + 2 * p).checked_sub(2);
    super::applies(g)
        && extent(g.image.0, g.padding.0) == Some(g.out.0)
        && extent(g.image.1, g.padding.1) == Some(g.out.1)
        && image >= batch.image_span()
        && filters >= g.k * g.taps()
        && out >= batch.out_span()
}
