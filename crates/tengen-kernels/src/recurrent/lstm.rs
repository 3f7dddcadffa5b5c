//! Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

use super::Sizes;
use super::product::{Columns, Product, block};
use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::rows::{Parts, read, write};

const GATES: usize = 4;

/// Some units of one step: gates and states from the gates' inputs.
struct Cell<'a, T> {
    sizes: Sizes,
    units: (usize, usize),
    bias: &'a [T],
    before: &'a [T],
    gates: &'a Parts<T>,
    c: &'a Parts<T>,
    h: &'a Parts<T>,
}

impl<T: Float> Kernel for Cell<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Cell { sizes: Sizes { batch, hidden, .. }, units: (from, to), .. } = self;
        let zero = <T::Lane<A>>::splat(T::default());
        let bias = |g: usize, j: usize| match self.bias {
            [] => zero,
            b => read::<T::Lane<A>>(&b[..g * hidden + to], g * hidden + from + j),
        };
        for r in 0..batch {
            let (row, at) = (r * GATES * hidden, r * hidden);
            // SAFETY: tasks have different units.
            let (gates, c, h) = unsafe {
                (
                    quarters(self.gates, row, hidden, from, to),
                    self.c.part(at + from, at + to),
                    self.h.part(at + from, at + to),
                )
            };
            let before = &self.before[at + from..at + to];
            let [i, f, g, o] = gates;
            let mut j = 0;
            while j < to - from {
                let vi = Num::sigmoid(Lane::add(read::<T::Lane<A>>(i, j), bias(0, j)));
                let vf = Num::sigmoid(Lane::add(read::<T::Lane<A>>(f, j), bias(1, j)));
                let vg = Num::tanh(Lane::add(read::<T::Lane<A>>(g, j), bias(2, j)));
                let vo = Num::sigmoid(Lane::add(read::<T::Lane<A>>(o, j), bias(3, j)));
                let vc = Num::fma(vf, read(before, j), Lane::mul(vi, vg));
                write(vi, i, j);
                write(vf, f, j);
                write(vg, g, j);
                write(vo, o, j);
                write(vc, c, j);
                write(Lane::mul(vo, Num::tanh(vc)), h, j);
                j += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// Some units of the four gates of a row.
///
/// # Safety
/// As [`Parts::part`].
#[inline(always)]
#[expect(clippy::mut_from_ref, reason = "parts do not overlap")]
unsafe fn quarters<T>(
    x: &Parts<T>,
    row: usize,
    hidden: usize,
    from: usize,
    to: usize,
) -> [&mut [T]; GATES] {
    let (from, to) = (row + from, row + to);
    // SAFETY: by the contract; the gates lie apart.
    unsafe {
        [
            x.part(from, to),
            x.part(hidden + from, hidden + to),
            x.part(2 * hidden + from, 2 * hidden + to),
            x.part(3 * hidden + from, 3 * hidden + to),
        ]
    }
}

/// Runs a layer: with gates i, f, o = σ(z) and g = tanh(z) of z = x·W + b + h·Wₕ, the cell becomes
/// c = f·c + i·g and the state h = o·tanh(c).
///
/// `gates` `[steps, batch, 4·hidden]` holds x·W in the order i, f, g, o, and then the gates; `bias`
/// `[4·hidden]` may be empty; `h` and `c` `[steps + 1, batch, hidden]` hold the initial states, and
/// then those of every step too. `packed` comes from [`pack`](super::pack).
///
/// # Panics
/// If a length is wrong.
pub fn lstm<T: Float>(
    sizes: Sizes,
    packed: &[T],
    bias: &[T],
    gates: &mut [T],
    h: &mut [T],
    c: &mut [T],
) {
    let (n, hidden) = (sizes.row(), sizes.hidden);
    let states = (sizes.steps + 1) * n;
    let bias_len = if bias.is_empty() { 0 } else { GATES * hidden };
    sizes.check(
        GATES,
        &[
            (packed, super::packed_len::<T>(GATES, hidden)),
            (bias, bias_len),
            (gates, sizes.steps * n * GATES),
            (h, states),
            (c, states),
        ],
    );
    let units = block::<T>(Columns::Gates);
    for t in sizes.order() {
        let (h_before, h) = sizes.states(h, t);
        let (c_before, c) = sizes.states(c, t);
        let gates = Parts::new(&mut gates[t * n * GATES..(t + 1) * n * GATES]);
        let (h, c) = (Parts::new(h), Parts::new(c));
        sizes.share(GATES, hidden.div_ceil(units), |from, to| {
            dispatch(Product {
                sizes,
                columns: Columns::Gates,
                a: h_before,
                packed,
                panels: (from, to),
                c: gates.ptr(),
                row: GATES * hidden,
            });
            dispatch(Cell {
                sizes,
                units: (from * units, hidden.min(to * units)),
                bias,
                before: c_before,
                gates: &gates,
                c: &c,
                h: &h,
            });
        });
    }
}

/// Some units of one step back: gradients to the gates' inputs and the earlier cell.
struct Back<'a, T> {
    sizes: Sizes,
    units: (usize, usize),
    gates: &'a [T],
    before: &'a [T],
    after: &'a [T],
    dh: &'a Parts<T>,
    dc: &'a Parts<T>,
    dz: &'a Parts<T>,
}

impl<T: Float> Kernel for Back<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Back { sizes: Sizes { batch, hidden, .. }, units: (from, to), .. } = self;
        let one = <T::Lane<A>>::splat(T::from_f64(1.0));
        for r in 0..batch {
            let (row, at) = (r * GATES * hidden, r * hidden);
            // SAFETY: tasks have different units.
            let ([di, df, dg, d_o], dc, dh) = unsafe {
                (
                    quarters(self.dz, row, hidden, from, to),
                    self.dc.part(at + from, at + to),
                    self.dh.part(at + from, at + to),
                )
            };
            let gates = &self.gates[row..row + GATES * hidden];
            let (i, f) = (&gates[from..to], &gates[hidden + from..hidden + to]);
            let (g, o) = (
                &gates[2 * hidden + from..2 * hidden + to],
                &gates[3 * hidden + from..3 * hidden + to],
            );
            let before = &self.before[at + from..at + to];
            let after = &self.after[at + from..at + to];
            let mut j = 0;
            while j < to - from {
                let (i, f) = (read::<T::Lane<A>>(i, j), read::<T::Lane<A>>(f, j));
                let (g, o) = (read::<T::Lane<A>>(g, j), read::<T::Lane<A>>(o, j));
                let (top, dh) = (Num::tanh(read::<T::Lane<A>>(after, j)), read(dh, j));
                let slope = Num::fma(Lane::neg(top), top, one);
                let d = Num::fma(Lane::mul(dh, o), slope, read(dc, j));
                // The derivative of σ is σ·(1 − σ), that of tanh is 1 − tanh².
                write(Lane::mul(Lane::mul(d, g), Num::fma(Lane::neg(i), i, i)), di, j);
                write(
                    Lane::mul(Lane::mul(d, read(before, j)), Num::fma(Lane::neg(f), f, f)),
                    df,
                    j,
                );
                write(Lane::mul(Lane::mul(d, i), Num::fma(Lane::neg(g), g, one)), dg, j);
                write(Lane::mul(Lane::mul(dh, top), Num::fma(Lane::neg(o), o, o)), d_o, j);
                write(Lane::mul(d, f), dc, j);
                j += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// The gradients of [`lstm`]: `dz` to the gates' inputs, and to the initial states in `dh` and `dc`.
///
/// `gates` and `c` are what [`lstm`] left, `dy` `[steps, batch, hidden]` is the gradient to the
/// states, and `dh` and `dc` `[batch, hidden]` hold more gradient to the last state and cell. `packed` comes from
/// [`pack_transposed`](super::pack_transposed).
///
/// # Panics
/// If a length is wrong.
#[expect(clippy::too_many_arguments, reason = "what a step back needs, each of its own kind")]
pub fn lstm_backward<T: Float>(
    sizes: Sizes,
    packed: &[T],
    gates: &[T],
    c: &[T],
    dy: &[T],
    dh: &mut [T],
    dc: &mut [T],
    dz: &mut [T],
) {
    let (n, hidden) = (sizes.row(), sizes.hidden);
    let all = sizes.steps * n;
    sizes.check(
        GATES,
        &[
            (packed, super::packed_transposed_len::<T>(GATES, hidden)),
            (gates, all * GATES),
            (c, all + n),
            (dy, all),
            (dh, n),
            (dc, n),
            (dz, all * GATES),
        ],
    );
    let (dh, dc) = (Parts::new(dh), Parts::new(dc));
    super::product::back(sizes, GATES, packed, dy, &dh, dz, |t, units, dz| {
        let (before, after) = sizes.states_of(c, t);
        let gates = &gates[t * n * GATES..(t + 1) * n * GATES];
        dispatch(Back { sizes, units, gates, before, after, dh: &dh, dc: &dc, dz });
    });
}
