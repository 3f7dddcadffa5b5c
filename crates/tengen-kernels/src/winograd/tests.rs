//! Held to the definition, in f64, on every instruction set.

use super::*;
use crate::lanes::{available, with_isa};

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

fn check(what: &str, b: &Batch, got: &[f32], exact: &[f64], magnitude: &[f64]) {
    let (scaled, relative) = errors(got, exact, magnitude);
    assert!(scaled < 1e-5 && relative < 1e-5, "{what} {b:?}: {scaled:e} {relative:e}");
}

fn forward_agrees(b: &Batch) {
    let g = &b.geometry;
    let (x, w) = (values(b.n * g.image_len(), 1), values(g.k * g.taps(), 2));
    let mut y = vec![f32::NAN; b.n * g.out_len()];
    let mut work = vec![f32::NAN; forward_len(b)];
    forward(b, &x, &w, &mut y, &Epilogue::default(), &mut work);
    let (mut exact, mut magnitude) = (vec![0.0; y.len()], vec![0.0; y.len()]);
    each_product(b, |i, f, o| {
        let product = x[i] as f64 * w[f] as f64;
        exact[o] += product;
        magnitude[o] += product.abs();
    });
    check("forward", b, &y, &exact, &magnitude);
}

fn to_input_agrees(b: &Batch) {
    let g = &b.geometry;
    let (dy, w) = (values(b.n * g.out_len(), 3), values(g.k * g.taps(), 4));
    let mut dx = vec![f32::NAN; b.n * g.image_len()];
    let mut work = vec![f32::NAN; to_input_len(b)];
    to_input(b, &dy, &w, &mut dx, &mut work);
    let (mut exact, mut magnitude) = (vec![0.0; dx.len()], vec![0.0; dx.len()]);
    each_product(b, |i, f, o| {
        let product = dy[o] as f64 * w[f] as f64;
        exact[i] += product;
        magnitude[i] += product.abs();
    });
    check("to input", b, &dx, &exact, &magnitude);
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
        batch(2, 450, 20, (7, 7), (1, 1)),
        batch(40, 450, 34, (7, 6), (1, 1)),
    ]
}

#[test]
fn results_and_gradients_agree_with_the_definition_on_every_instruction_set() {
    for set in available() {
        with_isa(*set, || {
            for b in batches() {
                forward_agrees(&b);
                to_input_agrees(&b);
            }
        });
    }
}

#[test]
fn the_epilogue_sees_every_sum_once() {
    for set in available() {
        with_isa(*set, || {
            for b in [batch(2, 19, 35, (9, 22), (1, 1)), batch(3, 64, 64, (8, 8), (1, 1))] {
                let g = &b.geometry;
                let (x, w) = (values(b.n * g.image_len(), 5), values(g.k * g.taps(), 6));
                let (bias, slope) = (values(g.k, 7), values(g.k, 8));
                let residual = values(b.n * g.out_len(), 9);
                let run = |e: &Epilogue<f32>| {
                    let mut y = vec![f32::NAN; b.n * g.out_len()];
                    forward(&b, &x, &w, &mut y, e, &mut vec![f32::NAN; forward_len(&b)]);
                    y
                };
                let plain = run(&Epilogue::default());
                for bits in 1..8 {
                    let e = Epilogue {
                        bias: (bits & 1 != 0).then_some(&bias[..]),
                        slope: (bits & 2 != 0).then_some(&slope[..]),
                        residual: (bits & 4 != 0).then_some(&residual[..]),
                    };
                    for (i, y) in run(&e).into_iter().enumerate() {
                        let k = i / g.pixels() % g.k;
                        let v = plain[i]
                            + e.bias.map_or(0.0, |b| b[k])
                            + e.residual.map_or(0.0, |r| r[i]);
                        let v = if v < 0.0 { v * e.slope.map_or(1.0, |s| s[k]) } else { v };
                        assert!((y - v).abs() <= 1e-5 * v.abs().max(1.0), "{i}: {y} {v}");
                    }
                }
            }
        });
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for set in available() {
        with_isa(*set, || {
            let all = pool::threads();
            for b in batches() {
                let g = &b.geometry;
                let (x, dy) = (values(b.n * g.image_len(), 1), values(b.n * g.out_len(), 2));
                let w = values(g.k * g.taps(), 3);
                let run = |threads| {
                    pool::set_threads(threads);
                    let mut y = vec![f32::NAN; dy.len()];
                    let mut work = vec![f32::NAN; forward_len(&b)];
                    forward(&b, &x, &w, &mut y, &Epilogue::default(), &mut work);
                    let mut dx = vec![f32::NAN; x.len()];
                    let mut work = vec![f32::NAN; to_input_len(&b)];
                    to_input(&b, &dy, &w, &mut dx, &mut work);
                    [y, dx].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                };
                let one = run(1);
                assert!((2..4).all(|n| run(n) == one), "{set:?} {b:?}");
            }
            pool::set_threads(all);
        });
    }
}
