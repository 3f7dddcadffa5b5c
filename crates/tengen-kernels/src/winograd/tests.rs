//! Held to the definition, in f64, on every instruction set.

use super::*;
use crate::epilogue::{Activation, Epilogue};
use crate::lanes::{available, with_isa};
use crate::pool;

fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed | 1;
    let mut next = || {
        s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (s >> 40) as f64 / (1 << 24) as f64
    };
    // Nearly normal: twelve uniform numbers less their mean.
    (0..n).map(|_| ((0..12).map(|_| next()).sum::<f64>() - 6.0) as f32).collect()
}

/// A batch without gaps.
fn batch(n: usize, c: usize, k: usize, image: (usize, usize), padding: (usize, usize)) -> Batch {
    let out = (image.0 + 2 * padding.0 - 2, image.1 + 2 * padding.1 - 2);
    let (filter, stride, dilation) = ((3, 3), (1, 1), (1, 1));
    let geometry = Geometry { c, image, k, filter, out, stride, padding, dilation };
    Batch { geometry, n, image_step: geometry.image_len(), out_step: geometry.out_len() }
}

/// Calls `f(image element, filter element, result element)` for every product of a convolution.
fn each_product(b: &Batch, mut f: impl FnMut(usize, usize, usize)) {
    let g = &b.geometry;
    let ((h, w), (oh, ow)) = (g.image, g.out);
    for (i, k, c) in
        (0..b.n).flat_map(|i| (0..g.k).flat_map(move |k| (0..g.c).map(move |c| (i, k, c))))
    {
        for (oy, ox, t) in
            (0..oh).flat_map(|y| (0..ow).flat_map(move |x| (0..9).map(move |t| (y, x, t))))
        {
            let y = (oy + t / 3).wrapping_sub(g.padding.0);
            let x = (ox + t % 3).wrapping_sub(g.padding.1);
            if y < h && x < w {
                let image = i * b.image_step + (c * h + y) * w + x;
                let out = i * b.out_step + (k * oh + oy) * ow + ox;
                f(image, (k * g.c + c) * 9 + t, out);
            }
        }
    }
}

/// The errors of `got` relative to `exact`'s largest element, and to the sum of absolute products.
fn errors(got: &[f32], exact: &[f64], magnitude: &[f64]) -> (f64, f64) {
    let scale = exact.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    let mut worst = (0.0f64, 0.0f64);
    for ((g, e), m) in got.iter().zip(exact).zip(magnitude) {
        let error = (*g as f64 - e).abs();
        assert!(error.is_finite());
        if error > 0.0 {
            worst = (worst.0.max(error / scale), worst.1.max(error / m));
        }
    }
    worst
}

/// What a function gives that writes `len` elements and takes a workspace.
fn run(len: usize, work: usize, f: impl FnOnce(&mut [f32], &mut [f32])) -> Vec<f32> {
    let (mut out, mut work) = (vec![f32::NAN; len], vec![f32::NAN; work]);
    f(&mut out, &mut work);
    out
}

/// Images, filters and results of a batch, its result and both its gradients.
struct Case {
    batch: Batch,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(batch: Batch) -> Self {
        let g = &batch.geometry;
        let (x, dy) = (values(batch.n * g.image_len(), 1), values(batch.n * g.out_len(), 2));
        Case { batch, x, w: values(g.k * g.taps(), 3), dy }
    }
    fn forward(&self, e: &Epilogue<f32>) -> Vec<f32> {
        let b = &self.batch;
        run(self.dy.len(), forward_len(b), |y, work| forward(b, &self.x, &self.w, y, e, work))
    }
    fn all(&self) -> [Vec<f32>; 3] {
        let (b, Case { x, w, dy, .. }) = (&self.batch, self);
        [
            self.forward(&Epilogue::default()),
            run(x.len(), to_input_len(b), |dx, work| to_input(b, dy, w, dx, work)),
            run(w.len(), to_filter_len(b), |dw, work| to_filter(b, x, dy, dw, work)),
        ]
    }
    /// The same in f64, and the sums of absolute products.
    fn exact(&self) -> [[Vec<f64>; 2]; 3] {
        let Case { batch, x, w, dy } = self;
        let mut all = [dy.len(), x.len(), w.len()].map(|n| [vec![0.0; n], vec![0.0; n]]);
        each_product(batch, |i, f, o| {
            let (x, w, dy) = (x[i] as f64, w[f] as f64, dy[o] as f64);
            for (sums, (at, v)) in all.iter_mut().zip([(o, x * w), (i, dy * w), (f, x * dy)]) {
                sums[0][at] += v;
                sums[1][at] += v.abs();
            }
        });
        all
    }
}

/// Every remainder of channels and pixels; few tiles and many, few channels and many.
fn batches() -> Vec<Batch> {
    vec![
        batch(1, 1, 1, (3, 3), (0, 0)),
        batch(2, 33, 35, (5, 7), (0, 0)),
        batch(3, 33, 35, (5, 7), (1, 1)),
        batch(1, 35, 33, (5, 7), (2, 2)),
        batch(1, 16, 32, (14, 14), (1, 1)),
        batch(2, 5, 3, (1, 2), (1, 2)),
        batch(1, 3, 18, (6, 250), (0, 1)),
        batch(9, 17, 40, (15, 13), (1, 0)),
        batch(2, 70, 9, (40, 41), (1, 1)),
        batch(2, 270, 20, (7, 7), (1, 1)),
        batch(35, 270, 7, (7, 6), (1, 1)),
        batch(4, 33, 35, (64, 65), (1, 1)),
    ]
}

#[test]
fn results_and_gradients_agree_with_the_definition_on_every_instruction_set() {
    for b in batches() {
        let case = Case::new(b);
        let exact = case.exact();
        for set in available() {
            with_isa(*set, || {
                for (what, (got, [sums, magnitudes])) in case.all().iter().zip(&exact).enumerate() {
                    let (scaled, relative) = errors(got, sums, magnitudes);
                    assert!(
                        scaled < 1e-5 && relative < 1e-5,
                        "{set:?} {what} {b:?}: {scaled:e} {relative:e}"
                    );
                }
            });
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for (set, b) in available().iter().flat_map(|s| batches().into_iter().map(move |b| (*s, b))) {
        with_isa(set, || {
            let case = Case::new(b);
            let bits = |threads| {
                let all = pool::with_threads(threads, || case.all());
                all.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            let one = bits(1);
            assert!((2..4).all(|n| bits(n) == one), "{set:?} {b:?}");
        });
    }
}

#[test]
fn the_epilogue_sees_every_sum_once() {
    for (set, shape) in available().iter().flat_map(|s| [(*s, (19, 35)), (*s, (64, 64))]) {
        with_isa(set, || {
            let case = Case::new(batch(3, shape.0, shape.1, (9, 22), (1, 1)));
            let (k, pixels) = (shape.1, case.batch.geometry.pixels());
            let (bias, slope) = (values(k, 7), values(k, 8));
            let residual = values(case.dy.len(), 9);
            let plain = case.forward(&Epilogue::default());
            for bits in 1..12 {
                let activations =
                    [Activation::Identity, Activation::Relu, Activation::Prelu(&slope[..])];
                let e = Epilogue {
                    bias: (bits & 1 != 0).then_some(&bias[..]),
                    residual: (bits & 2 != 0).then_some(&residual[..]),
                    activation: activations[bits / 4],
                };
                for (i, y) in case.forward(&e).into_iter().enumerate() {
                    let k = i / pixels % k;
                    let sum = plain[i] + e.bias.map_or(0.0, |b| b[k]);
                    let sum = sum + e.residual.map_or(0.0, |r| r[i]);
                    let v = match e.activation {
                        Activation::Relu => sum.max(0.0),
                        Activation::Prelu(slope) if sum < 0.0 => sum * slope[k],
                        _ => sum,
                    };
                    assert!((y - v).abs() <= 1e-5 * v.abs().max(1.0), "{set:?} {i}: {y} {v}");
                }
            }
        });
    }
}

#[test]
fn groups_lie_between_each_other() {
    for set in available() {
        with_isa(*set, groups_are_computed_in_place);
    }
}

fn groups_are_computed_in_place() {
    // Two groups' images and results, interleaved; each is computed in place.
    let one = batch(2, 18, 33, (6, 9), (1, 1));
    let g = one.geometry;
    let two = Batch { image_step: 2 * g.image_len(), out_step: 2 * g.out_len(), ..one };
    let x = values(2 * one.n * g.image_len(), 4);
    let w = values(g.k * g.taps(), 5);
    let mut y = vec![f32::NAN; 2 * one.n * g.out_len()];
    let e = Epilogue::default();
    for group in 0..2 {
        let (from, to) = (group * g.image_len(), group * g.out_len());
        let mut work = vec![f32::NAN; forward_len(&two)];
        forward(&two, &x[from..], &w, &mut y[to..], &e, &mut work);
        let images: Vec<f32> = (0..one.n)
            .flat_map(|i| x[i * two.image_step + from..][..g.image_len()].to_vec())
            .collect();
        let alone = run(one.n * g.out_len(), forward_len(&one), |y, work| {
            forward(&one, &images, &w, y, &e, work)
        });
        for i in 0..one.n {
            let got = &y[i * two.out_step + to..][..g.out_len()];
            assert_eq!(got, &alone[i * g.out_len()..][..g.out_len()]);
        }
    }
}
