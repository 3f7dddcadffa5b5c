//! Products of states with packed weights.

use super::Sizes;
use crate::gemm::Strided;
use crate::lanes::{Arch, Float, Isa, Kernel, Lane, dispatch, isa, prefetch};
use crate::pool;
use crate::rows::Parts;

/// Registers of columns in a panel.
const REGISTERS: usize = 4;

/// Steps that a panel is fetched ahead of its use.
const AHEAD: usize = 8;

/// Where the columns of a panel lie in a row of the result.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Columns {
    /// A register of units for each of four gates, which lie `hidden` apart.
    Gates,
    /// Four registers of neighbouring units.
    Neighbours,
}

fn lanes<T: Float>() -> usize {
    match isa() {
        Isa::Avx512 => 64 / size_of::<T>(),
        Isa::Avx2 => 32 / size_of::<T>(),
        Isa::Portable => 1,
    }
}

/// Units in a panel.
pub(super) fn block<T: Float>(columns: Columns) -> usize {
    match columns {
        Columns::Gates => lanes::<T>(),
        Columns::Neighbours => REGISTERS * lanes::<T>(),
    }
}

/// How the columns of a layer with this many gates lie: 4, or 1.
fn columns_of(gates: usize) -> Columns {
    if gates == REGISTERS { Columns::Gates } else { Columns::Neighbours }
}

fn panels_len<T: Float>(columns: Columns, hidden: usize, k: usize) -> usize {
    hidden.div_ceil(block::<T>(columns)) * k * REGISTERS * lanes::<T>()
}

/// Elements that [`pack`] writes for `gates` 1 or 4.
pub fn packed_len<T: Float>(gates: usize, hidden: usize) -> usize {
    panels_len::<T>(columns_of(gates), hidden, hidden)
}

/// Elements that [`pack_transposed`] writes.
pub fn packed_transposed_len<T: Float>(gates: usize, hidden: usize) -> usize {
    panels_len::<T>(Columns::Neighbours, hidden, gates * hidden)
}

/// Packs hidden-to-hidden weights, `gates·hidden` rows of `hidden`, for the steps of a layer.
///
/// # Panics
/// If a length is wrong or `gates` is neither 1 nor 4.
pub fn pack<T: Float>(gates: usize, hidden: usize, weights: &[T], packed: &mut [T]) {
    assert!(gates == 1 || gates == REGISTERS, "recurrent: {gates} gates");
    let (columns, width) = (columns_of(gates), REGISTERS * lanes::<T>());
    assert!(weights.len() == gates * hidden * hidden, "recurrent: weights");
    let source = Strided { ptr: weights.as_ptr(), outer: hidden as isize, inner: 1 };
    panels(columns, hidden, hidden, packed, |unit, units, panel| {
        for gate in 0..gates {
            // SAFETY: these are rows of the weights, and the panel has room for `hidden` steps.
            unsafe {
                let dst = panel.as_mut_ptr().add(gate * lanes::<T>());
                source.pack(gate * hidden + unit, units, 0..hidden, dst, width);
            }
        }
    });
}

/// Packs hidden-to-hidden weights for the steps back, which multiply with their transpose.
///
/// # Panics
/// If a length is wrong.
pub fn pack_transposed<T: Float>(gates: usize, hidden: usize, weights: &[T], packed: &mut [T]) {
    let (k, width) = (gates * hidden, REGISTERS * lanes::<T>());
    assert!(weights.len() == k * hidden, "recurrent: weights");
    let source = Strided { ptr: weights.as_ptr(), outer: 1, inner: hidden as isize };
    panels(Columns::Neighbours, hidden, k, packed, |unit, units, panel| {
        // SAFETY: these are columns of the weights, and the panel has room for `k` steps.
        unsafe { source.pack(unit, units, 0..k, panel.as_mut_ptr(), width) };
    });
}

/// Calls `fill` with the first unit, the number of units and the memory of every panel.
fn panels<T: Float>(
    columns: Columns,
    hidden: usize,
    k: usize,
    packed: &mut [T],
    fill: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let (units, len) = (block::<T>(columns), k * REGISTERS * lanes::<T>());
    assert!(packed.len() == panels_len::<T>(columns, hidden, k), "recurrent: packed weights");
    let all = Parts::new(packed);
    let one = |p: usize| {
        // SAFETY: each panel has a part of its own.
        let panel = unsafe { all.part(p * len, (p + 1) * len) };
        let n = units.min(hidden - p * units);
        if n < units {
            panel.fill(T::default());
        }
        fill(p * units, n, panel);
    };
    let count = hidden.div_ceil(units);
    if k * hidden < super::PARALLEL { (0..count).for_each(one) } else { pool::for_each(count, one) }
}

/// c += a·W for all rows of the batch and some panels.
pub(super) struct Product<'a, T> {
    pub sizes: Sizes,
    pub columns: Columns,
    /// `[batch, k]`
    pub a: &'a [T],
    /// All panels.
    pub packed: &'a [T],
    /// Panels from and to.
    pub panels: (usize, usize),
    /// `[batch, row]`; this task's columns are its own.
    pub c: *mut T,
    pub row: usize,
}

impl<T: Float> Kernel for Product<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Sizes { batch, hidden, .. } = self.sizes;
        let k = self.a.len() / batch.max(1);
        let len = k * REGISTERS * <T::Lane<A> as Lane>::W;
        let most = match A::ISA {
            Isa::Avx512 => 6,
            Isa::Avx2 => 3,
            Isa::Portable => 2,
        };
        let tiles = batch.div_ceil(most);
        for p in self.panels.0..self.panels.1 {
            let b = self.packed[p * len..(p + 1) * len].as_ptr();
            for t in 0..tiles {
                let (from, to) = (t * batch / tiles, (t + 1) * batch / tiles);
                let tile = Tile {
                    k,
                    a: self.a[from * k..to * k].as_ptr(),
                    b,
                    c: self.c.wrapping_add(from * self.row),
                    row: self.row,
                    hidden,
                    columns: self.columns,
                    panel: p,
                };
                // SAFETY: `a` has the rows and the panel its steps; `c` has the rows, and the
                // columns of this panel are this task's.
                unsafe {
                    match (A::ISA, to - from) {
                        (_, 1) => tile.run::<T::Lane<A>, 1>(),
                        (_, 2) => tile.run::<T::Lane<A>, 2>(),
                        (Isa::Avx512 | Isa::Avx2, 3) => tile.run::<T::Lane<A>, 3>(),
                        (Isa::Avx512, 4) => tile.run::<T::Lane<A>, 4>(),
                        (Isa::Avx512, 5) => tile.run::<T::Lane<A>, 5>(),
                        (Isa::Avx512, 6) => tile.run::<T::Lane<A>, 6>(),
                        _ => unreachable!("a tile has at most {most} rows"),
                    }
                }
            }
        }
    }
}

/// R rows of the batch with one panel.
struct Tile<T> {
    k: usize,
    a: *const T,
    b: *const T,
    c: *mut T,
    row: usize,
    hidden: usize,
    columns: Columns,
    panel: usize,
}

impl<T: Float> Tile<T> {
    /// # Safety
    /// `a` has R rows of `k`, `b` has `k` steps of four registers, `c` has R rows at distance `row`
    /// with the columns of the panel.
    #[inline(always)]
    unsafe fn run<L: Lane<T = T>, const R: usize>(self) {
        let Tile { k, mut a, mut b, c, row, hidden, columns, panel } = self;
        let place = |v: usize| match columns {
            Columns::Gates => (panel * L::W, v),
            Columns::Neighbours => ((panel * REGISTERS + v) * L::W, 0),
        };
        // The tile's place in the result arrives while the sums are made.
        for (v, r) in (0..REGISTERS).flat_map(|v| (0..R).map(move |r| (v, r))) {
            let (unit, gate) = place(v);
            prefetch(c.wrapping_add(r * row + gate * hidden + unit));
        }
        let zero = L::splat(T::default());
        let mut acc = [[zero; REGISTERS]; R];
        // SAFETY: by the contract; stores stay below `hidden` units.
        unsafe {
            for _ in 0..k {
                let mut y = [zero; REGISTERS];
                for (v, y) in y.iter_mut().enumerate() {
                    *y = L::load(b.add(v * L::W));
                    prefetch(b.wrapping_add((AHEAD * REGISTERS + v) * L::W));
                }
                for (r, row) in acc.iter_mut().enumerate() {
                    let x = L::splat(*a.add(r * k));
                    for v in 0..REGISTERS {
                        row[v] = Lane::fma(x, y[v], row[v]);
                    }
                }
                a = a.add(1);
                b = b.add(REGISTERS * L::W);
            }
            for v in 0..REGISTERS {
                let (unit, gate) = place(v);
                let n = hidden.saturating_sub(unit).min(L::W);
                for (r, acc) in acc.iter().enumerate() {
                    let p = c.wrapping_add(r * row + gate * hidden + unit);
                    if n == L::W {
                        Lane::add(L::load(p), acc[v]).store(p);
                    } else if n > 0 {
                        Lane::add(L::load_n(p, n), acc[v]).store_n(p, n);
                    }
                }
            }
        }
    }
}

/// Steps back in time: for every step, `dh` becomes dy plus the later dz times the weights, and
/// `cell` computes dz of some units from it. `dh` holds the gradient to the last state at first,
/// and that to the initial state at the end.
///
/// `dz` is `[steps, batch, gates·hidden]`.
pub(super) fn back<T: Float>(
    sizes: Sizes,
    gates: usize,
    packed: &[T],
    dy: &[T],
    dh: &Parts<T>,
    dz: &mut [T],
    cell: impl Fn(usize, (usize, usize), &Parts<T>) + Sync,
) {
    let Sizes { batch, hidden, steps, reverse } = sizes;
    let (n, units) = (sizes.row(), block::<T>(Columns::Neighbours));
    // The gradient to the state at the end of a step, for some panels' units.
    let arrive = |dy: Option<&[T]>, later: Option<&[T]>, from: usize, to: usize| {
        let (first, last) = (from * units, hidden.min(to * units));
        for r in 0..batch {
            // SAFETY: tasks have different units.
            let dh = unsafe { dh.part(r * hidden + first, r * hidden + last) };
            let dy = dy.map(|dy| &dy[r * hidden + first..r * hidden + last]);
            match dy {
                Some(dy) if later.is_none() => dh
                    .iter_mut()
                    .zip(dy)
                    .for_each(|(h, y)| *h = T::from_f64(h.to_f64() + y.to_f64())),
                Some(dy) => dh.copy_from_slice(dy),
                None => dh.fill(T::default()),
            }
        }
        if let Some(a) = later {
            let (columns, panels, c) = (Columns::Neighbours, (from, to), dh.ptr());
            dispatch(Product { sizes, columns, a, packed, panels, c, row: hidden });
        }
        (first, last)
    };
    let row = n * gates;
    for t in sizes.order().rev() {
        let (low, high) = dz.split_at_mut((t + !reverse as usize) * row);
        let (now, later) = if reverse {
            (&mut high[..row], (t > 0).then(|| &low[(t - 1) * row..]))
        } else {
            (&mut low[t * row..], (t + 1 < steps).then(|| &high[..row]))
        };
        let now = Parts::new(now);
        sizes.share(gates, hidden.div_ceil(units), |from, to| {
            let units = arrive(Some(&dy[t * n..(t + 1) * n]), later, from, to);
            cell(t, units, &now);
        });
    }
    let first = sizes.order().next().map(|t| &dz[t * row..(t + 1) * row]);
    sizes.share(gates, hidden.div_ceil(units), |from, to| {
        arrive(None, first, from, to);
    });
}
