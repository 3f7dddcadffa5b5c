//! How a product is cut into blocks that fit the caches and are shared out over threads, whatever
//! its elements are and however they are packed.

use crate::pool::{self, Shared};
use std::ops::Range;

/// Steps of the inner dimension per block: many, since C is read and written once per block; a panel
/// of B and a block of panels of A stay in the second-level cache.
const KC: usize = 1024;
/// Columns of B per block: the block stays in the last-level cache.
const NC: usize = 2048;
/// Operands of fewer elements are packed by the caller alone.
pub(super) const PARALLEL_PACK: usize = 1 << 16;
/// The most panels of A in a block.
const HIGH: usize = 6;
/// The most panels of B in a block: few, so that threads end together.
const WIDE: usize = 4;

/// The extents of a product of packed operands.
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
    /// Whether the work is shared out over threads.
    pub shared: bool,
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

/// The right operand.
pub(super) enum Right<'a, P> {
    /// Its panels are packed into the workspace.
    Pack(Pack<'a, P>),
    /// It lies as panels without heads could, its steps at this distance.
    InPlace(*const P, usize),
}

/// Packs a panel: some rows of A or columns of B from the first, how many there are, which steps,
/// and where to.
pub(super) type Pack<'a, P> = &'a (dyn Fn(usize, usize, Range<usize>, *mut P) + Sync);

/// Blocks of A's panels, of equal height as far as possible: enough to share out.
fn parts(panels: usize) -> usize {
    panels.div_ceil(HIGH).max(panels.min(4))
}

impl Plan {
    /// Places that packed A takes.
    pub fn packed_len(&self) -> usize {
        self.m.next_multiple_of(self.tile.0) * self.steps
    }

    /// Places of workspace that [`Plan::multiply`] takes.
    pub fn workspace_len(&self) -> usize {
        self.n.min(NC).next_multiple_of(self.tile.1) * (self.head + self.steps.min(KC))
    }

    fn each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.shared { pool::for_each(tasks, task) } else { (0..tasks).for_each(task) }
    }

    /// Packs A. The places of rows that do not exist are 0.
    ///
    /// # Safety
    /// `packed` is writable for [`Plan::packed_len`] places, and `pack` writes the panel that it
    /// is asked for.
    pub unsafe fn pack_a<P: Copy>(&self, packed: *mut P, pack: Pack<'_, P>) {
        let Plan { m, steps, tile: (rows, _), .. } = *self;
        let (panels, out) = (m.div_ceil(rows), Shared(packed));
        self.each(panels.div_ceil(4), &|group| {
            for panel in group * 4..panels.min(group * 4 + 4) {
                for start in (0..steps).step_by(KC) {
                    let ks = start..(start + KC).min(steps);
                    let n = rows.min(m - panel * rows);
                    // Blocks of the inner dimension one after the other, panels within them.
                    let dst = out.at(start * panels * rows + panel * rows * ks.len());
                    if n < rows {
                        // SAFETY: each panel of each block has a part of `packed` of its own.
                        unsafe { dst.write_bytes(0, ks.len() * rows) };
                    }
                    pack(panel * rows, n, ks, dst);
                }
            }
        });
    }

    /// C = A·B, or C += A·B, with A packed by [`Plan::pack_a`]. The places of columns that do not
    /// exist are 0.
    ///
    /// # Safety
    /// `packed` holds A, `c` is readable and writable for `m` rows of `n` elements at distance
    /// `ldc`, and `work` for [`Plan::workspace_len`] places; `right` is B, or writes the panel of it
    /// that it is asked for, and `multiply` touches the panels and the part of C that it is given.
    #[expect(clippy::too_many_arguments, reason = "operands, memory and the two kernels")]
    pub unsafe fn multiply<P: Copy, C: Copy>(
        &self,
        packed: *const P,
        c: *mut C,
        ldc: usize,
        accumulate: bool,
        work: *mut P,
        right: Right<'_, P>,
        multiply: &(dyn Fn(Block<P, C>) + Sync),
    ) {
        let Plan { m, n, steps, tile: (rows, columns), head, .. } = *self;
        let panels = m.div_ceil(rows);
        let (a, w, c) = (Shared(packed.cast_mut()), Shared(work), Shared(c));
        if steps == 0 {
            for i in (0..m).filter(|_| !accumulate) {
                // SAFETY: C has `m` rows of `n` elements.
                unsafe { c.at(i * ldc).write_bytes(0, n) };
            }
            return;
        }
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
                // A block of A's panels stays in the second-level cache; a share of B's panels each.
                let (down, across) = (parts(panels), b_panels.div_ceil(WIDE));
                self.each(down * across, &|task| {
                    let (i, j) = (task / across, task % across);
                    let (top, bottom) = (i * panels / down * rows, (i + 1) * panels / down * rows);
                    let first = j * b_panels / across;
                    let (left, right) = (first * columns, (j + 1) * b_panels / across * columns);
                    multiply(Block {
                        k,
                        a: a.at(start * panels * rows + top * k).cast_const(),
                        b: b.at(first * next).cast_const(),
                        step,
                        next,
                        rows,
                        c: c.at(top * ldc + jc + left),
                        ldc,
                        m: m.min(bottom) - top,
                        n: width.min(right) - left,
                        accumulate: accumulate || start > 0,
                    });
                });
            }
        }
    }
}
