//! Recurrence with one activation (Elman 1990).

use super::Sizes;
use super::product::{Columns, Product, block};
use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::rows::{Parts, read, write};

/// What the states pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// tanh(x)
    Tanh,
    /// max(0, x)
    Relu,
}

impl Activation {
    #[inline(always)]
    fn f<L: Num>(self, x: L) -> L {
        match self {
            Activation::Tanh => x.tanh(),
            // NaN stays NaN.
            Activation::Relu => L::sel(x.lt(L::c(0.0)), L::c(0.0), x),
        }
    }

    /// dy times the slope where the result is `y`.
    #[inline(always)]
    fn df<L: Num>(self, y: L, dy: L) -> L {
        match self {
            Activation::Tanh => dy.mul(y.neg().fma(y, L::c(1.0))),
            Activation::Relu => L::sel(y.eq(L::c(0.0)), L::c(0.0), dy),
        }
    }
}

/// Some units of one step: states from their inputs, in place.
struct Cell<'a, T> {
    sizes: Sizes,
    units: (usize, usize),
    activation: Activation,
    bias: &'a [T],
    h: &'a Parts<T>,
}

impl<T: Float> Kernel for Cell<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Cell { sizes: Sizes { batch, hidden, .. }, units: (from, to), .. } = self;
        for r in 0..batch {
            // SAFETY: tasks have different units.
            let h = unsafe { self.h.part(r * hidden + from, r * hidden + to) };
            let mut j = 0;
            while j < to - from {
                let mut z: T::Lane<A> = read(h, j);
                if !self.bias.is_empty() {
                    z = Lane::add(z, read(&self.bias[..to], from + j));
                }
                write(self.activation.f(z), h, j);
                j += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// Runs a layer: h = f(x·W + b + h·Wₕ).
///
/// `h` `[steps + 1, batch, hidden]` holds the initial state and x·W of every step, and then the
/// states; `bias` `[hidden]` may be empty. `packed` comes from [`pack`](super::pack).
///
/// # Panics
/// If a length is wrong.
pub fn simple<T: Float>(
    sizes: Sizes,
    activation: Activation,
    packed: &[T],
    bias: &[T],
    h: &mut [T],
) {
    let hidden = sizes.hidden;
    let bias_len = if bias.is_empty() { 0 } else { hidden };
    sizes.check(
        1,
        &[
            (packed, super::packed_len::<T>(1, hidden)),
            (bias, bias_len),
            (h, (sizes.steps + 1) * sizes.row()),
        ],
    );
    let units = block::<T>(Columns::Neighbours);
    for t in sizes.order() {
        let (before, h) = sizes.states(h, t);
        let h = Parts::new(h);
        sizes.share(1, hidden.div_ceil(units), |from, to| {
            dispatch(Product {
                sizes,
                columns: Columns::Neighbours,
                a: before,
                packed,
                panels: (from, to),
                c: h.ptr(),
                row: hidden,
            });
            let units = (from * units, hidden.min(to * units));
            dispatch(Cell { sizes, units, activation, bias, h: &h });
        });
    }
}

/// Some units of one step back: gradients to the states' inputs.
struct Back<'a, T> {
    sizes: Sizes,
    units: (usize, usize),
    activation: Activation,
    h: &'a [T],
    dh: &'a Parts<T>,
    dz: &'a Parts<T>,
}

impl<T: Float> Kernel for Back<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Back { sizes: Sizes { batch, hidden, .. }, units: (from, to), .. } = self;
        for (from, to) in (0..batch).map(|r| (r * hidden + from, r * hidden + to)) {
            // SAFETY: tasks have different units.
            let (dh, dz) = unsafe { (self.dh.part(from, to), self.dz.part(from, to)) };
            let h = &self.h[from..to];
            let mut j = 0;
            while j < to - from {
                write(self.activation.df(read::<T::Lane<A>>(h, j), read(dh, j)), dz, j);
                j += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// The gradients of [`simple`]: `dz` to the states' inputs, and to the initial state in `dh`.
///
/// `h` is what [`simple`] left, `dy` `[steps, batch, hidden]` the gradient to the states, and `dh`
/// `[batch, hidden]` holds more gradient to the last one. `packed` comes from [`pack_transposed`](super::pack_transposed).
///
/// # Panics
/// If a length is wrong.
pub fn simple_backward<T: Float>(
    sizes: Sizes,
    activation: Activation,
    packed: &[T],
    h: &[T],
    dy: &[T],
    dh: &mut [T],
    dz: &mut [T],
) {
    let (n, all) = (sizes.row(), sizes.steps * sizes.row());
    sizes.check(
        1,
        &[
            (packed, super::packed_transposed_len::<T>(1, sizes.hidden)),
            (h, all + n),
            (dy, all),
            (dh, n),
            (dz, all),
        ],
    );
    let dh = Parts::new(dh);
    super::product::back(sizes, 1, packed, dy, &dh, dz, |t, units, dz| {
        let (_, h) = sizes.states_of(h, t);
        dispatch(Back { sizes, units, activation, h, dh: &dh, dz });
    });
}
