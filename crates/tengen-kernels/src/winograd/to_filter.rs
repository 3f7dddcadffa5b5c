//! The gradient to the filters.

use super::filters::{FilterGradient, filter_point};
use super::forward::{Own, applies_to};
use super::planes::{Planes, ToTiles, rows_len};
use super::product::TileSums;
use super::tiles::{Layout, POINTS, Registers, Tiles};
use super::{Batch, on};
use crate::pool::{self, Shared, share};
use std::ops::Range;

/// The fewest and the most tiles of a block of many.
const TILES: Range<usize> = 96..256;
/// Registers of channels that a task transforms, or whose gradients it sums.
const STEP: usize = 4;
/// Bytes of transformed tiles up to which they are read repeatedly, from the last-level cache, so
/// that sums never leave the second-level cache.
const RESIDENT: usize = 16 << 20;

/// How the gradient is cut.
#[derive(Clone, Copy)]
struct Plan {
    registers: Registers,
    inputs: usize,
    outputs: usize,
    tiles: Tiles,
    /// Whether all tiles are one block, and tasks take channels through all products; else tasks
    /// take products, block after block.
    whole: bool,
    /// Tiles of a block.
    block: usize,
}

impl Plan {
    fn new(batch: &Batch) -> Self {
        let g = &batch.geometry;
        let (registers, tiles) = (Registers::current(), Tiles::new(batch.n, g.out));
        let mut plan =
            Plan { registers, inputs: g.c, outputs: g.k, tiles, whole: true, block: tiles.count() };
        let bytes = (plan.images().len() + plan.gradients().len()) * size_of::<f32>();
        if bytes > RESIDENT {
            // As many as make the operands of a block as large as the sums that they are added to:
            // fewer would move sums more often, more would leave the cache.
            let even = 2 * g.c * g.k / (g.c + g.k);
            plan.whole = false;
            plan.block = even.clamp(TILES.start, TILES.end).min(tiles.count());
        }
        plan
    }
    fn input_registers(&self) -> usize {
        self.inputs.div_ceil(self.registers.width)
    }
    /// Products' widths of output channels.
    fn columns(&self) -> usize {
        self.outputs.div_ceil(self.registers.columns())
    }
    /// Of the images' tiles.
    fn images(&self) -> Layout {
        Layout::new(self.inputs, self.registers.width, 1, self.block)
    }
    /// Of the tiles of the results' gradients.
    fn gradients(&self) -> Layout {
        Layout::new(self.outputs, self.registers.width, self.registers.across, self.block)
    }
    /// Registers of input channels that a task takes.
    fn step(&self, step: usize) -> Range<usize> {
        step * STEP..self.input_registers().min((step + 1) * STEP)
    }
    fn steps(&self) -> usize {
        self.input_registers().div_ceil(STEP)
    }
    /// Elements from one product to the next of sums for one product's width of output channels.
    fn sums_point(&self) -> usize {
        let step = STEP * self.registers.width;
        let inputs = if self.whole { self.inputs.min(step) } else { self.inputs };
        filter_point(inputs, &self.registers)
    }
    fn sums_len(&self) -> usize {
        POINTS * self.sums_point()
    }
    fn workers(&self) -> usize {
        pool::workers(POINTS * self.tiles.count() * self.inputs * self.outputs)
    }
    fn shared_len(&self) -> usize {
        let sums = if self.whole { 0 } else { self.columns() * self.sums_len() };
        self.images().len() + self.gradients().len() + sums
    }
    fn own_len(&self) -> usize {
        let sums = if self.whole { self.sums_len() } else { 0 };
        sums + rows_len(self.block.min(self.tiles.across), self.registers.width)
    }
}

/// Elements of workspace that [`to_filter`] takes, with the threads and instruction set in use.
pub fn to_filter_len(batch: &Batch) -> usize {
    let plan = Plan::new(batch);
    plan.shared_len() + plan.workers() * plan.own_len()
}

/// The gradient to the filters, given images `x` and the gradient `dy` to the results, to `dw`
/// (`[k, c, 3, 3]`).
///
/// # Panics
/// If a slice is too short.
pub fn to_filter(batch: &Batch, x: &[f32], dy: &[f32], dw: &mut [f32], work: &mut [f32]) {
    let g = &batch.geometry;
    assert!(applies_to(batch, x.len(), dw.len(), dy.len()));
    let plan = Plan::new(batch);
    if plan.tiles.count() == 0 || g.c == 0 || g.k == 0 {
        dw[..g.k * g.taps()].fill(0.0);
        return;
    }
    let own = plan.own_len();
    let (shared, rest) = work.split_at_mut(plan.shared_len());
    let workers = plan.workers().min(rest.len() / own);
    assert!(workers > 0, "the workspace is too short");
    let (height, width) = g.image;
    let x = Planes { ptr: x.as_ptr(), step: batch.image_step, channels: g.c, height, width };
    let (height, width) = g.out;
    let dy = Planes { ptr: dy.as_ptr(), step: batch.out_step, channels: g.k, height, width };
    let run = Run {
        plan,
        workers,
        x,
        padding: g.padding,
        dy,
        dw: Shared(dw.as_mut_ptr()),
        images: Shared(shared.as_mut_ptr()),
        gradients: Shared(shared[plan.images().len()..].as_mut_ptr()),
        own: Own { all: Shared(rest.as_mut_ptr()), own },
    };
    if plan.whole {
        run.whole();
    } else {
        run.by_products(Shared(
            shared[plan.images().len() + plan.gradients().len()..].as_mut_ptr(),
        ));
    }
}

struct Run {
    plan: Plan,
    workers: usize,
    x: Planes<*const f32>,
    padding: (usize, usize),
    dy: Planes<*const f32>,
    dw: Shared<f32>,
    images: Shared<f32>,
    gradients: Shared<f32>,
    own: Own,
}

// SAFETY: the planes are read; tasks write places of their own.
unsafe impl Sync for Run {}

impl Run {
    /// Transforms the tiles of a block.
    fn transform(&self, range: Range<usize>) {
        let plan = &self.plan;
        let registers = &plan.registers;
        let parts = range.len().div_ceil(2 * registers.rows);
        let columns = plan.columns() * registers.across;
        let (images, gradients) = (plan.steps(), columns.div_ceil(STEP));
        share(self.workers, parts * (images + gradients), |worker, task| {
            let (part, step) = (task % parts, task / parts);
            let (at, to) = (part * range.len() / parts, (part + 1) * range.len() / parts);
            let (tiles, rows) = (plan.tiles, self.own.of(worker));
            let part = range.start + at..range.start + to;
            if step < images {
                let layout = plan.images();
                let kernel = ToTiles::<6> {
                    planes: self.x,
                    padding: self.padding,
                    tiles,
                    range: part,
                    registers: plan.step(step),
                    layout,
                    out: self.images.at(layout.at(0, at, registers.width)),
                    rows,
                };
                on(registers.isa, kernel);
            } else {
                let (layout, step) = (plan.gradients(), step - images);
                let kernel = ToTiles::<4> {
                    planes: self.dy,
                    padding: (0, 0),
                    tiles,
                    range: part,
                    registers: step * STEP..columns.min((step + 1) * STEP),
                    layout,
                    out: self.gradients.at(layout.at(0, at, registers.width)),
                    rows,
                };
                on(registers.isa, kernel);
            }
        });
    }

    /// Sums over `n` tiles for some products, input channels and one width of output channels.
    fn sum(
        &self,
        points: Range<usize>,
        inputs: Range<usize>,
        column: usize,
        n: usize,
        sums: *mut f32,
        accumulate: bool,
    ) {
        let (plan, width) = (&self.plan, self.plan.registers.width);
        let (images, gradients) = (plan.images(), plan.gradients());
        let kernel = TileSums {
            images: self.images.at(images.at(inputs.start, 0, width)),
            image_point: images.point,
            image_register: images.tiles * width,
            gradients: self.gradients.at(gradients.at(column * plan.registers.across, 0, width)),
            gradient_point: gradients.point,
            points,
            inputs: inputs.len(),
            n,
            sums,
            sums_point: plan.sums_point(),
            accumulate,
        };
        on(plan.registers.isa, kernel);
    }

    /// Turns sums for some input channels and one width of output channels into gradients.
    fn store(&self, inputs: Range<usize>, column: usize, sums: *const f32) {
        let plan = &self.plan;
        let kernel = FilterGradient {
            sums,
            point: plan.sums_point(),
            first: column * plan.registers.across,
            across: plan.registers.across,
            inputs,
            filters: self.dw.at(0),
            outputs: plan.outputs,
            channels: plan.inputs,
        };
        on(plan.registers.isa, kernel);
    }

    fn whole(&self) {
        let plan = &self.plan;
        let n = plan.tiles.count();
        self.transform(0..n);
        share(self.workers, plan.columns() * plan.steps(), |worker, task| {
            let (column, step) = (task / plan.steps(), task % plan.steps());
            let (inputs, sums) = (plan.step(step), self.own.of(worker));
            self.sum(0..POINTS, inputs.clone(), column, n, sums, false);
            self.store(inputs, column, sums);
        });
    }

    fn by_products(&self, sums: Shared<f32>) {
        let plan = &self.plan;
        let blocks = plan.tiles.blocks(plan.block, 1);
        for block in 0..blocks.number {
            let range = blocks.range(block);
            self.transform(range.clone());
            share(self.workers, POINTS, |_, point| {
                for column in 0..plan.columns() {
                    let sums = sums.at(column * plan.sums_len());
                    let inputs = 0..plan.input_registers();
                    self.sum(point..point + 1, inputs, column, range.len(), sums, block > 0);
                }
            });
        }
        share(self.workers, plan.columns() * plan.steps(), |_, task| {
            let (column, step) = (task / plan.steps(), task % plan.steps());
            let inputs = plan.step(step);
            let at = inputs.start * plan.registers.width * plan.registers.columns();
            self.store(inputs, column, sums.at(column * plan.sums_len() + at));
        });
    }
}
