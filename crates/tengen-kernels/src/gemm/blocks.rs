//! How a product is cut into blocks that fit the caches and are shared out over threads, whatever
//! its elements are and however they are packed.

use crate::pool::{self, Shared};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Steps of the inner dimension per block: many, since C is read and written once per block; a panel
/// of B and a block of panels of A stay in the second-level cache.
const KC: usize = 1024;
/// Columns of B per block: the block stays in the last-level cache.
const NC: usize = 2048;
/// Left operands of fewer places are packed by the caller alone.
const PARALLEL_PACK: usize = 1 << 16;
/// The most panels of A in a block.
const HIGH: usize = 6;
/// The most panels of B in a block: few, so that threads end together.
const WIDE: usize = 4;

/// How a product is cut, as its extents, its tiles and the threads ask for.
///
/// A step is what a tile reads at a time: `tile.0` places of a panel of A and `tile.1` of a panel
/// of B, a place holding one element or several that follow each other along the inner dimension.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Steps of the inner dimension.
    pub steps: usize,
    /// Rows and columns of a tile.
    pub tile: (usize, usize),
    /// Steps' worth of places in front of each block of a panel of B, for the packer's use.
    pub head: usize,
    /// How many workers share the work.
    pub workers: usize,
}

/// All tiles of some rows and columns of C, for one block of the inner dimension.
pub(super) struct Block<P, C> {
    /// Steps.
    pub k: usize,
    /// Panels of A, one after the other.
    pub a: *const P,
    /// Panels of B with their heads.
    pub b: *const P,
    /// Places from one step of a panel of B to the next, and from one panel to the next.
    pub step: usize,
    pub next: usize,
    pub c: *mut C,
    pub ldc: usize,
    /// Rows of a panel of A.
    pub rows: usize,
    pub m: usize,
    pub n: usize,
    pub accumulate: bool,
}

impl<P, C> Block<P, C> {
    /// What the tile of row `i` and column `j` asks for, so that the next panel of B is there when
    /// its turn comes: from where, and how many bytes a step.
    #[inline(always)]
    pub fn ahead(&self, i: usize, j: usize, columns: usize) -> (*const P, usize) {
        if self.step != columns {
            return (self.b, 0);
        }
        let bytes = (columns * size_of::<P>()).div_ceil(self.m.div_ceil(self.rows));
        let panel = self.b.wrapping_add((j / columns + 1) * self.next);
        (panel.wrapping_byte_add(i / self.rows * self.k * bytes), bytes)
    }
}

/// The left operand.
#[derive(Clone, Copy)]
pub(super) enum Left<'a, P> {
    /// All of it, by [`Plan::pack_a`].
    Packed(*const P),
    /// Each worker packs the blocks that it multiplies, to a place in its second-level cache.
    Pack(Pack<'a, P>, *mut P),
}

/// The right operand.
#[derive(Clone, Copy)]
pub(super) enum Right<'a, P> {
    /// Its panels are packed into the workspace.
    Pack(Pack<'a, P>),
    /// It lies as panels without heads could, its steps at this distance.
    InPlace(*const P, usize),
}

/// Packs a panel: some rows of A or columns of B from the first, how many there are, which steps,
/// and where to.
pub(super) type Pack<'a, P> = &'a (dyn Fn(usize, usize, Range<usize>, *mut P) + Sync);

/// Blocks of A's panels for each worker, from which on workers pack their own.
const OWN: usize = 3;

impl Plan {
    /// The plan for [`Plan::pack_a`] alone.
    pub fn packer(self) -> Plan {
        let far = self.m * self.steps >= PARALLEL_PACK;
        Plan { workers: if far { pool::threads() } else { 1 }, ..self }
    }

    /// Panels of A.
    fn panels(&self) -> usize {
        self.m.div_ceil(self.tile.0)
    }

    /// Places that packed A takes.
    pub fn packed_len(&self) -> usize {
        self.panels() * self.tile.0 * self.steps
    }

    /// Places of workspace that [`Plan::multiply`] takes for packed operands.
    pub fn workspace_len(&self) -> usize {
        self.n.min(NC).next_multiple_of(self.tile.1) * (self.head + self.steps.min(KC))
    }

    /// Whether workers pack their own blocks of A: if most blocks are one worker's alone.
    fn packs_apart(&self) -> bool {
        self.workers == 1 || self.panels().div_ceil(HIGH) >= OWN * self.workers
    }

    /// Places of a block of A.
    fn block_len(&self) -> usize {
        self.panels().min(HIGH) * self.tile.0 * self.steps.min(KC)
    }

    /// Places of workspace that [`Plan::product`] takes.
    pub fn product_len(&self) -> usize {
        let left =
            if self.packs_apart() { self.workers * self.block_len() } else { self.packed_len() };
        self.workspace_len() + left
    }

    fn each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.workers > 1 { pool::for_each(tasks, task) } else { (0..tasks).for_each(task) }
    }

    /// Packs A. The places of rows that do not exist are 0.
    ///
    /// # Safety
    /// `packed` is writable for [`Plan::packed_len`] places, and `pack` writes the panel that it
    /// is asked for.
    pub unsafe fn pack_a<P: Copy>(&self, packed: *mut P, pack: Pack<'_, P>) {
        let Plan { steps, tile: (rows, _), .. } = *self;
        let (panels, out) = (self.panels(), Shared(packed));
        self.each(panels.div_ceil(4), &|group| {
            let group = group * 4..panels.min(group * 4 + 4);
            for start in (0..steps).step_by(KC) {
                let ks = start..(start + KC).min(steps);
                // Blocks of the inner dimension one after the other, panels within them.
                let dst = out.at(start * panels * rows + group.start * rows * ks.len());
                // SAFETY: each panel of each block has a part of `packed` of its own.
                unsafe { self.pack_panels(group.clone(), ks, dst, pack) };
            }
        });
    }

    /// Packs some panels of A, for some steps.
    ///
    /// # Safety
    /// They have places at `dst`, and `pack` writes the panel that it is asked for.
    unsafe fn pack_panels<P: Copy>(
        &self,
        panels: Range<usize>,
        ks: Range<usize>,
        dst: *mut P,
        pack: Pack<'_, P>,
    ) {
        let (rows, first) = (self.tile.0, panels.start);
        for panel in panels {
            let n = rows.min(self.m - panel * rows);
            let dst = dst.wrapping_add((panel - first) * rows * ks.len());
            if n < rows {
                // SAFETY: by the contract.
                unsafe { dst.write_bytes(0, ks.len() * rows) };
            }
            pack(panel * rows, n, ks.clone(), dst);
        }
    }

    /// C = A·B.
    ///
    /// # Safety
    /// `c` is writable for `m` rows of `n` elements, `work` for [`Plan::product_len`] places; `left`
    /// writes the panel of A that it is asked for; the rest as in [`Plan::multiply`].
    pub unsafe fn product<P: Copy, C: Copy>(
        &self,
        c: *mut C,
        work: *mut P,
        left: Pack<'_, P>,
        right: Right<'_, P>,
        multiply: &(dyn Fn(Block<P, C>) + Sync),
    ) {
        let blocks = work.wrapping_add(self.workspace_len());
        // SAFETY: by the contract, there is room for A's blocks, or else for all of it.
        unsafe {
            let left = if self.packs_apart() {
                Left::Pack(left, blocks)
            } else {
                self.pack_a(blocks, left);
                Left::Packed(blocks.cast_const())
            };
            self.multiply(left, c, self.n, false, work, right, multiply);
        }
    }

    /// C = A·B, or C += A·B. The places of columns that do not exist are 0.
    ///
    /// # Safety
    /// `left` is A, or writes the panel of it that it is asked for and has room for a block for each
    /// worker; `right` is B, or does so; `c` is readable and writable for `m` rows of `n` elements
    /// at distance `ldc`, and `work` for [`Plan::workspace_len`] places; `multiply` touches the
    /// panels and the part of C that it is given.
    #[expect(clippy::too_many_arguments, reason = "operands, memory and the kernel")]
    pub unsafe fn multiply<P: Copy, C: Copy>(
        &self,
        left: Left<'_, P>,
        c: *mut C,
        ldc: usize,
        accumulate: bool,
        work: *mut P,
        right: Right<'_, P>,
        multiply: &(dyn Fn(Block<P, C>) + Sync),
    ) {
        let Plan { m, n, steps, tile: (rows, columns), head, .. } = *self;
        let panels = self.panels();
        let (w, c) = (Shared(work), Shared(c));
        if steps == 0 {
            for i in (0..m).filter(|_| !accumulate) {
                // SAFETY: C has `m` rows of `n` elements.
                unsafe { c.at(i * ldc).write_bytes(0, n) };
            }
            return;
        }
        let (packed, own) = match left {
            Left::Packed(a) => (Shared(a.cast_mut()), None),
            Left::Pack(pack, blocks) => (Shared(blocks), Some(pack)),
        };
        for jc in (0..n).step_by(NC) {
            let width = (n - jc).min(NC);
            let b_panels = width.div_ceil(columns);
            for start in (0..steps).step_by(KC) {
                let ks = start..(start + KC).min(steps);
                let (k, height) = (ks.len(), head + ks.len());
                let (b, step, next) = match right {
                    Right::Pack(pack) => {
                        self.each(b_panels.div_ceil(4), &|group| {
                            for p in group * 4..b_panels.min(group * 4 + 4) {
                                let n = columns.min(width - p * columns);
                                let dst = w.at(p * columns * height);
                                if n < columns {
                                    // SAFETY: each panel has a part of the workspace of its own.
                                    unsafe { dst.write_bytes(0, height * columns) };
                                }
                                pack(jc + p * columns, n, ks.clone(), dst);
                            }
                        });
                        (w, columns, columns * height)
                    }
                    Right::InPlace(b, step) => {
                        (Shared(b.wrapping_add(start * step + jc).cast_mut()), step, columns)
                    }
                };
                let tasks = Tasks::new(panels, b_panels, self.workers, own.is_some());
                let task = AtomicUsize::new(0);
                self.each(self.workers.min(tasks.len()), &|worker| {
                    let mut mine = None;
                    while let Some((down, across)) = tasks.get(task.fetch_add(1, Relaxed)) {
                        let (top, left) = (down.start * rows, across.start * columns);
                        let a = match own {
                            None => packed.at(start * panels * rows + top * k),
                            Some(pack) => {
                                let block = packed.at(worker * self.block_len());
                                if mine != Some(top) {
                                    // SAFETY: the worker's room, by the contract.
                                    unsafe {
                                        self.pack_panels(down.clone(), ks.clone(), block, pack)
                                    };
                                    mine = Some(top);
                                }
                                block
                            }
                        };
                        multiply(Block {
                            k,
                            a: a.cast_const(),
                            b: b.at(across.start * next).cast_const(),
                            step,
                            next,
                            rows,
                            c: c.at(top * ldc + jc + left),
                            ldc,
                            m: m.min(down.end * rows) - top,
                            n: width.min(across.end * columns) - left,
                            accumulate: accumulate || start > 0,
                        });
                    }
                });
            }
        }
    }
}

/// The tasks that a product of panels is cut into: a block of A's panels stays in the second-level
/// cache, and some of B's panels pass by.
struct Tasks {
    /// Panels of A and of B.
    panels: (usize, usize),
    /// Blocks of A's panels, of equal height as far as possible.
    down: usize,
    /// Those that are one task each.
    whole: usize,
    /// Tasks for each of the others.
    across: usize,
}

impl Tasks {
    fn new(a: usize, b: usize, workers: usize, own: bool) -> Tasks {
        let across = b.div_ceil(WIDE);
        if own {
            // Blocks have one worker each, but for the last ones, so that all end together.
            let down = a.div_ceil(HIGH);
            let cut = if workers > 1 { workers } else { 0 };
            return Tasks { panels: (a, b), down, whole: down.saturating_sub(cut), across };
        }
        // Enough to share out.
        Tasks { panels: (a, b), down: a.div_ceil(HIGH).max(a.min(4)), whole: 0, across }
    }

    fn len(&self) -> usize {
        self.whole + (self.down - self.whole) * self.across
    }

    /// The panels of A and of B that a task multiplies.
    fn get(&self, task: usize) -> Option<(Range<usize>, Range<usize>)> {
        let Tasks { panels: (a, b), down, whole, across } = *self;
        let (i, part, parts) = match task.checked_sub(whole) {
            None => (task, 0, 1),
            Some(task) => (whole + task / across, task % across, across),
        };
        let cut = |i, n, all| i * all / n..(i + 1) * all / n;
        (task < self.len()).then(|| (cut(i, down, a), cut(part, parts, b)))
    }
}
