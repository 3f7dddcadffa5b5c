//! Steps of optimizers: one pass over a parameter, its gradient and its state, in place.

use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::pool;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// A step's formula, for one element with `S` numbers of state.
pub trait Step<const S: usize>: Copy + Send + Sync {
    /// The parameter `p` and its state after a step by the gradient `g`.
    fn step<L: Num>(&self, p: L, g: L, state: [L; S]) -> (L, [L; S]);
}

/// p − lr·(g + λp)
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// Learning rate.
    pub lr: f64,
    /// λ
    pub weight_decay: f64,
}

impl Step<0> for Descent {
    #[inline(always)]
    fn step<L: Num>(&self, p: L, g: L, _: [L; 0]) -> (L, [L; 0]) {
        let g = g.add(p.mul(L::c(self.weight_decay)));
        (p.sub(g.mul(L::c(self.lr))), [])
    }
}

/// With g′ = g + λp and v ← μv + g′: p − lr·v, or p − lr·(g′ + μv) in Nesterov's form.
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    /// Learning rate.
    pub lr: f64,
    /// μ
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// λ
    pub weight_decay: f64,
}

impl Step<1> for Momentum {
    #[inline(always)]
    fn step<L: Num>(&self, p: L, g: L, [v]: [L; 1]) -> (L, [L; 1]) {
        let momentum = L::c(self.momentum);
        let g = g.add(p.mul(L::c(self.weight_decay)));
        let v = v.mul(momentum).add(g);
        let d = if self.nesterov { g.add(v.mul(momentum)) } else { v };
        (p.sub(d.mul(L::c(self.lr))), [v])
    }
}

/// With m ← β₁m + (1 − β₁)g and v ← β₂v + (1 − β₂)g²: p − lr·c₁m / (√(c₂v) + ε), where
/// cᵢ = 1 / (1 − βᵢᵗ) in step t. Weight decay is added to g, or, decoupled, to what lr scales.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// β₁ and β₂
    pub betas: (f64, f64),
    /// c₁ and c₂
    pub corrections: (f64, f64),
    /// ε
    pub eps: f64,
    /// λ
    pub weight_decay: f64,
    /// Whether weight decay bypasses the moments.
    pub decoupled: bool,
}

impl Step<2> for Adam {
    #[inline(always)]
    fn step<L: Num>(&self, p: L, g: L, [m, v]: [L; 2]) -> (L, [L; 2]) {
        let (b1, b2) = self.betas;
        let decay = p.mul(L::c(self.weight_decay));
        let g = if self.decoupled { g } else { g.add(decay) };
        let m = m.mul(L::c(b1)).add(g.mul(L::c(1.0 - b1)));
        let v = v.mul(L::c(b2)).add(g.mul(g).mul(L::c(1.0 - b2)));
        let root = v.mul(L::c(self.corrections.1)).sqrt();
        let d = m.mul(L::c(self.corrections.0)).div(root.add(L::c(self.eps)));
        let d = if self.decoupled { d.add(decay) } else { d };
        (p.sub(d.mul(L::c(self.lr))), [m, v])
    }
}

/// Takes a step, on several threads.
///
/// # Panics
/// If the lengths differ.
pub fn step<T: Float, F: Step<S>, const S: usize>(
    formula: F,
    param: &mut [T],
    grad: &[T],
    state: [&mut [T]; S],
) {
    assert!(
        grad.len() == param.len() && state.iter().all(|s| s.len() == param.len()),
        "optimizer step: lengths differ"
    );
    let all = Run {
        formula,
        p: param.as_mut_ptr(),
        g: grad.as_ptr(),
        state: state.map(|s| s.as_mut_ptr()),
        n: param.len(),
    };
    pool::for_ranges(all.n, TASK, |from, to| dispatch(all.part(from, to)));
}

/// A run of elements.
#[derive(Clone, Copy)]
struct Run<T, F, const S: usize> {
    formula: F,
    p: *mut T,
    g: *const T,
    state: [*mut T; S],
    n: usize,
}
// SAFETY: tasks make disjoint parts of a run, and touch nothing else.
unsafe impl<T: Sync, F: Sync, const S: usize> Sync for Run<T, F, S> {}

impl<T: Float, F: Step<S>, const S: usize> Run<T, F, S> {
    fn part(&self, from: usize, to: usize) -> Self {
        Run {
            p: self.p.wrapping_add(from),
            g: self.g.wrapping_add(from),
            state: self.state.map(|s| s.wrapping_add(from)),
            n: to - from,
            ..*self
        }
    }
}

impl<T: Float, F: Step<S>, const S: usize> Kernel for Run<T, F, S> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Run { formula, p, g, state, n } = self;
        let w = <T::Lane<A> as Lane>::W;
        for i in (0..n).step_by(w) {
            let r = (n - i).min(w);
            // SAFETY: `step` made the run of slices of one length, of which this is a part of
            // this task's own; elements `i..i + r` are in it.
            unsafe {
                let read = |q: *const T| <T::Lane<A>>::load_n(q.add(i), r);
                let whole = |q: *const T| <T::Lane<A>>::load(q.add(i));
                if r == w {
                    let s = std::array::from_fn(|k| whole(state[k]));
                    let (v, s) = formula.step::<T::Lane<A>>(whole(p), whole(g), s);
                    v.store(p.add(i));
                    (0..S).for_each(|k| s[k].store(state[k].add(i)));
                } else {
                    let s = std::array::from_fn(|k| read(state[k]));
                    let (v, s) = formula.step::<T::Lane<A>>(read(p), read(g), s);
                    v.store_n(p.add(i), r);
                    (0..S).for_each(|k| s[k].store_n(state[k].add(i), r));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut s = seed;
        std::iter::repeat_with(|| {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (s >> 40) as f64 / (1 << 23) as f64 - 1.0
        })
        .take(n)
        .collect()
    }

    /// The step on every instruction set against `reference(p, g, state)`, for f64 and f32.
    fn check<F: Step<S>, const S: usize>(
        f: F,
        reference: impl Fn(f64, f64, [f64; S]) -> (f64, [f64; S]),
    ) {
        for n in [0, 1, 7, 16, 100, 40_000] {
            let (p, g) = (noise(n, 1), noise(n, 2));
            let state: [Vec<f64>; S] =
                std::array::from_fn(|k| noise(n, 3 + k as u64).iter().map(|v| v.abs()).collect());
            let single = |v: &[f64]| -> Vec<f32> { v.iter().map(|v| *v as f32).collect() };
            for isa in available() {
                let (mut q, mut s) = (p.clone(), state.clone());
                let (mut q32, mut s32) = (single(&p), state.each_ref().map(|s| single(s)));
                with_isa(*isa, || {
                    step(f, &mut q, &g, s.each_mut().map(|s| &mut s[..]));
                    step(f, &mut q32, &single(&g), s32.each_mut().map(|s| &mut s[..]));
                })
                .unwrap();
                for i in 0..n {
                    let (want, want_state) =
                        reference(p[i], g[i], std::array::from_fn(|k| state[k][i]));
                    let close = |a: f64, b: f64, tol: f64| (a - b).abs() <= tol * b.abs().max(1.0);
                    assert!(close(q[i], want, 1e-14), "{isa:?} {i}: {} {want}", q[i]);
                    assert!(close(q32[i] as f64, want, 1e-5), "{isa:?} {i}: {} {want}", q32[i]);
                    for k in 0..S {
                        assert!(close(s[k][i], want_state[k], 1e-14));
                        assert!(close(s32[k][i] as f64, want_state[k], 1e-5));
                    }
                }
            }
        }
    }

    #[test]
    fn descent_follows_its_formula() {
        check(Descent { lr: 0.1, weight_decay: 0.01 }, |p, g, []| (p - 0.1 * (g + 0.01 * p), []));
    }

    #[test]
    fn momentum_follows_its_formula() {
        for nesterov in [false, true] {
            let f = Momentum { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01 };
            check(f, |p, g, [v]| {
                let g = g + 0.01 * p;
                let v = 0.9 * v + g;
                (p - 0.1 * if nesterov { g + 0.9 * v } else { v }, [v])
            });
        }
    }

    #[test]
    fn adam_follows_its_formula() {
        for decoupled in [false, true] {
            let f = Adam {
                lr: 0.1,
                betas: (0.9, 0.99),
                corrections: (1.0 / (1.0 - 0.9f64.powi(3)), 1.0 / (1.0 - 0.99f64.powi(3))),
                eps: 1e-3,
                weight_decay: 0.1,
                decoupled,
            };
            check(f, |p, g, [m, v]| {
                let g = if decoupled { g } else { g + 0.1 * p };
                let (m, v) = (0.9 * m + (1.0 - 0.9) * g, 0.99 * v + (1.0 - 0.99) * g * g);
                let (a, b) = (m / (1.0 - 0.9f64.powi(3)), v / (1.0 - 0.99f64.powi(3)));
                let d = a / (b.sqrt() + 1e-3) + if decoupled { 0.1 * p } else { 0.0 };
                (p - 0.1 * d, [m, v])
            });
        }
    }
}
