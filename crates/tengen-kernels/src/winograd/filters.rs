//! Filters to transformed filters.

use super::tiles::Registers;
use super::transform::{both_axes, filter, filter_transposed, turn};
use crate::lanes::{Arch, Kernel, Lane};
use std::ops::Range;

/// Filters of 3×3 taps.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    pub ptr: *const f32,
    /// Channels that they give.
    pub outputs: usize,
    /// Channels that they take.
    pub inputs: usize,
    /// Whether they lie as `[inputs][outputs][3][3]` and are turned by half a turn, else
    /// `[outputs][inputs][3][3]`.
    pub exchanged: bool,
}

/// Elements from one product to the next of [`FilterTransform`]'s result.
pub(super) fn filter_point(inputs: usize, registers: &Registers) -> usize {
    inputs.next_multiple_of(registers.width) * registers.columns() + super::tiles::GAP
}

/// The transform of the filters of `across` registers of output channels and some registers of
/// input channels, to `[product][input channel][across · width]`. Channels that do not exist get 0.
pub(super) struct FilterTransform {
    pub filters: Filters,
    /// The first register of output channels.
    pub first: usize,
    pub across: usize,
    /// Registers of input channels.
    pub inputs: Range<usize>,
    /// For the first of the input channels.
    pub out: *mut f32,
    /// Elements from one product to the next.
    pub point: usize,
}

impl Kernel for FilterTransform {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // Every square writes all of its taps: they are initialised once.
        let mut taps = [[A::F32::splat(0.0); 9 * 16]; 2];
        for register in 0..self.across {
            for (i, inputs) in self.inputs.clone().enumerate() {
                let columns = self.across * A::F32::W;
                let out = self.out.wrapping_add(i * A::F32::W * columns + register * A::F32::W);
                // SAFETY: the caller gave filters and room for these channels.
                unsafe { self.square(self.first + register, inputs, out, columns, &mut taps) };
            }
        }
    }
}

impl FilterTransform {
    /// One register of output channels by one register of input channels.
    #[inline(always)]
    unsafe fn square<L: Lane<T = f32>>(
        &self,
        output: usize,
        input: usize,
        out: *mut f32,
        columns: usize,
        [taps, given]: &mut [[L; 9 * 16]; 2],
    ) {
        let f = &self.filters;
        let zero = L::splat(0.0);
        let outputs = f.outputs.saturating_sub(output * L::W).min(L::W);
        let inputs = f.inputs.saturating_sub(input * L::W).min(L::W);
        // taps[9·i + t] holds tap t of input channel i of every output channel; of exchanged
        // filters, given[9·o + t] that tap of output channel o of every input channel.
        let first = if f.exchanged { &mut *given } else { &mut *taps };
        // Filters next to each other in memory lie along `inner`, runs of them along `outer`.
        let (outer, inner, stride, start) = if f.exchanged {
            (inputs, outputs, 9 * f.outputs, input * L::W * 9 * f.outputs + output * L::W * 9)
        } else {
            (outputs, inputs, 9 * f.inputs, output * L::W * 9 * f.inputs + input * L::W * 9)
        };
        for q in 0..9 {
            let n = (9 * inner).saturating_sub(q * L::W).min(L::W);
            // SAFETY: `n` of the taps of `inner` filters, from place q·W on, of `outer` runs.
            unsafe {
                let from = f.ptr.wrapping_add(start + q * L::W);
                if outer == L::W && n == L::W {
                    turn!(L, |r| L::load(from.add(r * stride)), |k, v| first[q * L::W + k] = v);
                } else {
                    turn!(
                        L,
                        |r| if r < outer { L::load_n(from.add(r * stride), n) } else { zero },
                        |k, v| first[q * L::W + k] = v
                    );
                }
            }
        }
        if f.exchanged {
            for t in 0..9 {
                turn!(L, |o| given[9 * o + t], |i, v| taps[9 * i + 8 - t] = v);
            }
        }
        for i in 0..L::W {
            both_axes!(filter, L, 3 => 6, |r, c| taps[9 * i + 3 * r + c], |y, x, v| {
                // SAFETY: each product has room for every input channel's row of `columns`.
                unsafe { v.store(out.add((6 * y + x) * self.point + i * columns)) }
            });
        }
    }
}

/// Sums of products over tiles to gradients of filters: [`FilterTransform`] transposed.
pub(super) struct FilterGradient {
    /// `[product][input channel][across · width]`, from the first of the input channels on.
    pub sums: *const f32,
    /// Elements from one product to the next.
    pub point: usize,
    /// The first register of output channels.
    pub first: usize,
    pub across: usize,
    /// Registers of input channels.
    pub inputs: Range<usize>,
    /// `[outputs][channels][3][3]`.
    pub filters: *mut f32,
    pub outputs: usize,
    pub channels: usize,
}

impl Kernel for FilterGradient {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let mut taps = [A::F32::splat(0.0); 9 * 16];
        for register in 0..self.across {
            for (i, input) in self.inputs.clone().enumerate() {
                // SAFETY: the caller gave sums and filters of these channels.
                unsafe { self.square(register, i, input, &mut taps) };
            }
        }
    }
}

impl FilterGradient {
    /// One register of output channels by one register of input channels, of which it is the
    /// `i`th.
    #[inline(always)]
    unsafe fn square<L: Lane<T = f32>>(
        &self,
        register: usize,
        i: usize,
        input: usize,
        taps: &mut [L; 9 * 16],
    ) {
        let columns = self.across * L::W;
        let outputs = self.outputs.saturating_sub((self.first + register) * L::W).min(L::W);
        let inputs = self.channels.saturating_sub(input * L::W).min(L::W);
        for channel in 0..L::W {
            let from = (i * L::W + channel) * columns + register * L::W;
            let from = self.sums.wrapping_add(from);
            both_axes!(filter_transposed, L, 6 => 3, |r, c| {
                // SAFETY: each product has sums of every input channel.
                unsafe { L::load(from.add((6 * r + c) * self.point)) }
            }, |y, x, v| taps[9 * channel + 3 * y + x] = v);
        }
        let start = ((self.first + register) * self.channels + input) * L::W * 9;
        for q in 0..9 {
            let n = (9 * inputs).saturating_sub(q * L::W).min(L::W);
            let to = self.filters.wrapping_add(start + q * L::W);
            // SAFETY: `n` of the taps of these filters, from place q·W on.
            unsafe {
                turn!(L, |j| taps[q * L::W + j], |o, v| if o < outputs {
                    v.store_n(to.add(o * self.channels * 9), n)
                });
            }
        }
    }
}
