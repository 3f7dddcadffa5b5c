//! Products of matrices and convolutions.

use crate::harness::{Laws, Rng, alone, laws, tensor};
use tengen_core::ops::{self, ConvActivation, ConvEpilogue, ConvParams};
use tengen_core::{DType, ErrorKind, GradManager, Tensor, Var};

fn two(l: Laws, a: &[usize], b: &[usize]) {
    l.input(a, -1.0, 1.0).input(b, -1.0, 1.0).no_halves().rtol(1e-4).check();
}

#[test]
fn matrix_products_obey_the_laws() {
    let shapes: [(&[usize], &[usize], bool, bool); 12] = [
        (&[3, 4], &[4, 5], false, false),
        (&[4, 3], &[4, 5], true, false),
        (&[3, 4], &[5, 4], false, true),
        (&[4, 3], &[5, 4], true, true),
        (&[2, 3, 4], &[4, 5], false, false),
        (&[2, 3, 4], &[2, 4, 5], false, false),
        (&[1, 3, 4], &[2, 4, 5], false, false),
        (&[6, 1, 3, 4], &[2, 4, 5], false, false),
        (&[4], &[4, 5], false, false),
        (&[2, 3, 4], &[4], false, false),
        (&[4], &[4], false, false),
        (&[3, 300], &[300, 40], false, false),
    ];
    for (a, b, ta, tb) in shapes {
        two(laws("matmul", move |x| ops::matmul(&x[0], &x[1], ta, tb)), a, b);
    }
    two(laws("dot", |x| ops::dot(&x[0], &x[1])), &[7], &[7]);
    laws("linear", |x| ops::linear(&x[0], &x[1], Some(&x[2])))
        .input(&[3, 4], -1.0, 1.0)
        .input(&[5, 4], -1.0, 1.0)
        .input(&[5], -1.0, 1.0)
        .no_halves()
        .check();
}

#[test]
fn half_precision_products_agree_with_f64() {
    let _alone = alone();
    for (dtype, unit) in [(DType::F16, 11), (DType::BF16, 8)] {
        for (m, n, k) in [(1, 40, 33), (3, 5, 7), (17, 40, 65), (30, 70, 1001)] {
            let numbers = |seed: usize, count: usize| -> Vec<f64> {
                (0..count).map(|i| ((i * 7919 + seed) % 2003) as f64 / 1001.0 - 1.0).collect()
            };
            let a = tensor(&[m, k], &numbers(1, m * k), dtype);
            let b = tensor(&[n, k], &numbers(500, n * k), dtype);
            let y = ops::matmul(&a, &b, false, true).unwrap().to_f64_vec().unwrap();
            let (a, b) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
            for (i, y) in y.iter().enumerate() {
                let terms = (0..k).map(|p| a[i / n * k + p] * b[i % n * k + p]);
                let (want, size) =
                    terms.fold((0.0, 0.0), |(sum, size), t: f64| (sum + t, size + t.abs()));
                // The result is rounded once to 16 bits; sums are made in f32.
                let bound = want.abs() / f64::from(1 << unit) + size * k as f64 / (1 << 24) as f64;
                assert!((y - want).abs() <= bound, "{dtype:?} {m} {n} {k}: {y} against {want}");
            }
        }
    }
}

#[test]
fn products_that_do_not_fit_are_errors() {
    let t = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    for (a, b) in [(&[2, 3][..], &[2, 3][..]), (&[2, 3, 4], &[3, 4, 5]), (&[], &[2]), (&[3], &[2])]
    {
        assert!(ops::matmul(&t(a), &t(b), false, false).is_err(), "{a:?} {b:?}");
    }
    let empty = ops::matmul(&t(&[2, 0]), &t(&[0, 3]), false, false).unwrap();
    assert_eq!(empty.to_vec::<f32>().unwrap(), [0.0; 6]);
    let i = |v: &[i32]| Tensor::from_slice(v, &[2, 2]).unwrap();
    let y = ops::matmul(&i(&[1, 2, 3, 4]), &i(&[5, 6, 7, 8]), false, false).unwrap();
    assert_eq!(y.to_vec::<i32>().unwrap(), [19, 22, 43, 50]);
}

/// The definition of convolution, in f64.
fn reference(x: &Tensor, w: &Tensor, p: ConvParams) -> Vec<f64> {
    let (xs, ws) = (x.shape().to_vec(), w.shape().to_vec());
    let (xv, wv) = (x.to_f64_vec().unwrap(), w.to_f64_vec().unwrap());
    let (n, c, h, wd) = (xs[0], xs[1], xs[2], xs[3]);
    let d = ws.len();
    let (cg, r, s) = (ws[d - 3], ws[d - 2], ws[d - 1]);
    let k = wv.len() / (cg * r * s);
    let oh = (h + 2 * p.padding.0 - p.dilation.0 * (r - 1) - 1) / p.stride.0 + 1;
    let ow = (wd + 2 * p.padding.1 - p.dilation.1 * (s - 1) - 1) / p.stride.1 + 1;
    let mut y = vec![];
    for i in 0..n {
        for f in 0..k {
            for oy in 0..oh {
                for ox in 0..ow {
                    let mut sum = 0.0;
                    for q in 0..cg {
                        let ch = f / (k / p.groups) * cg + q;
                        for u in 0..r {
                            for v in 0..s {
                                let a = (oy * p.stride.0 + u * p.dilation.0) as isize
                                    - p.padding.0 as isize;
                                let b = (ox * p.stride.1 + v * p.dilation.1) as isize
                                    - p.padding.1 as isize;
                                if a >= 0 && b >= 0 && (a as usize) < h && (b as usize) < wd {
                                    sum += xv[((i * c + ch) * h + a as usize) * wd + b as usize]
                                        * wv[((f * cg + q) * r + u) * s + v];
                                }
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

fn params(
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
    groups: usize,
) -> ConvParams {
    ConvParams { stride, padding, dilation, groups }
}

#[test]
fn convolutions_obey_the_laws_and_agree_with_the_definition() {
    let cases: [(&[usize], &[usize], ConvParams); 11] = [
        (&[2, 3, 6, 7], &[4, 3, 3, 3], params((1, 1), (0, 0), (1, 1), 1)),
        (&[2, 3, 6, 7], &[4, 3, 3, 2], params((1, 1), (1, 2), (1, 1), 1)),
        (&[2, 3, 8, 7], &[4, 3, 3, 3], params((2, 3), (1, 1), (1, 1), 1)),
        (&[1, 2, 9, 9], &[3, 2, 3, 3], params((1, 2), (2, 1), (2, 3), 1)),
        (&[2, 4, 5, 5], &[2, 3, 2, 3, 3], params((1, 1), (1, 1), (1, 1), 2)),
        (&[2, 4, 6, 6], &[4, 1, 1, 3, 3], params((1, 1), (1, 1), (1, 1), 4)),
        (&[2, 4, 7, 6], &[4, 2, 1, 3, 3], params((2, 2), (1, 1), (1, 1), 4)),
        (&[2, 3, 4, 4], &[5, 3, 1, 1], params((1, 1), (0, 0), (1, 1), 1)),
        (&[2, 3, 5, 5], &[5, 3, 1, 1], params((2, 2), (0, 0), (1, 1), 1)),
        (&[1, 2, 2, 2], &[3, 2, 3, 3], params((1, 1), (3, 3), (1, 1), 1)),
        (&[20, 1, 4, 4], &[3, 1, 3, 3], params((1, 1), (1, 1), (1, 1), 1)),
    ];
    for (x, w, p) in cases {
        two(laws("conv2d", move |t| ops::conv2d(&t[0], &t[1], None, p)), x, w);
        let f = |s: &[usize]| {
            let n: usize = s.iter().product();
            let v: Vec<f64> = (0..n).map(|i| ((i * 37 % 23) as f64 - 11.0) / 7.0).collect();
            Tensor::from_slice(&v, s).unwrap()
        };
        let (x, w) = (f(x), f(w));
        let y = ops::conv2d(&x, &w, None, p).unwrap().to_f64_vec().unwrap();
        for (a, b) in y.iter().zip(reference(&x, &w, p)) {
            assert!((a - b).abs() < 1e-10, "{p:?}: {a} {b}");
        }
    }
    // Large enough for blocks of the inner dimension and several tiles.
    let p = params((1, 1), (1, 1), (1, 1), 1);
    let f = |s: &[usize]| {
        let n: usize = s.iter().product();
        let v: Vec<f64> = (0..n).map(|i| ((i * 37 % 23) as f64 - 11.0) / 7.0).collect();
        Tensor::from_slice(&v, s).unwrap()
    };
    let (x, w) = (f(&[2, 40, 13, 12]), f(&[36, 40, 3, 3]));
    let y = ops::conv2d(&x, &w, None, p).unwrap().to_f64_vec().unwrap();
    for (a, b) in y.iter().zip(reference(&x, &w, p)) {
        assert!((a - b).abs() < 1e-9);
    }
    laws("conv1d", move |t| {
        ops::conv1d(&t[0], &t[1], Some(&t[2]), params((1, 2), (0, 1), (1, 1), 1))
    })
    .input(&[2, 3, 9], -1.0, 1.0)
    .input(&[4, 3, 3], -1.0, 1.0)
    .input(&[4], -1.0, 1.0)
    .no_halves()
    .check();
}

/// The result of a convolution and its gradients to images and filters, for a random gradient to
/// the result.
fn with_gradients(x: &Tensor, w: &Tensor, p: ConvParams) -> [Vec<f64>; 3] {
    let (x, w) = (Var::new(x.clone()), Var::new(w.clone()));
    let mut gm = GradManager::new();
    gm.attach_all([&x, &w]).unwrap();
    gm.record().unwrap();
    let y = ops::conv2d(&x.get(), &w.get(), None, p).unwrap();
    let mut rng = Rng::new(5);
    let r: Vec<f64> = (0..y.numel()).map(|_| rng.next() - 0.5).collect();
    let r = tensor(y.shape(), &r, y.dtype());
    gm.backward(&ops::sum(&ops::mul(&y, &r).unwrap(), None, false).unwrap()).unwrap();
    [y, x.grad().unwrap().get(), w.grad().unwrap().get()].map(|t| t.to_f64_vec().unwrap())
}

/// Shapes that take Winograd's minimal filtering, some of one tap that are products, and groups of
/// few channels.
const MANY_CHANNELS: [(&[usize], &[usize], usize, usize); 7] = [
    (&[2, 33, 7, 9], &[35, 33, 3, 3], 1, 1),
    (&[1, 32, 12, 10], &[40, 32, 3, 3], 0, 1),
    (&[1, 40, 8, 8], &[32, 40, 3, 3], 2, 1),
    (&[2, 64, 9, 8], &[2, 33, 32, 3, 3], 1, 2),
    (&[2, 12, 23, 29], &[20, 12, 1, 1], 0, 1),
    (&[1, 6, 32, 32], &[2, 40, 3, 1, 1], 0, 2),
    (&[2, 32, 9, 40], &[4, 6, 8, 3, 3], 1, 4),
];

#[test]
fn convolutions_of_many_channels_and_their_gradients_agree_with_f64() {
    for (x, w, padding, groups) in MANY_CHANNELS {
        let p = params((1, 1), (padding, padding), (1, 1), groups);
        let law = laws("conv2d", move |t| ops::conv2d(&t[0], &t[1], None, p));
        law.input(x, -1.0, 1.0).input(w, -1.0, 1.0).rtol(1e-4).first_order().check();
        let _alone = alone();
        let mut rng = Rng::new(1);
        let data = [x, w].map(|s| (0..s.iter().product()).map(|_| rng.next() - 0.5).collect());
        let [a, b]: [Vec<f64>; 2] = data;
        // The same numbers in both: those that f32 holds.
        let single = [tensor(x, &a, DType::F32), tensor(w, &b, DType::F32)];
        let double = single.each_ref().map(|t| ops::cast(t, DType::F64).unwrap());
        let got = with_gradients(&single[0], &single[1], p);
        let want = with_gradients(&double[0], &double[1], p);
        for (sum, definition) in want[0].iter().zip(reference(&single[0], &single[1], p)) {
            assert!((sum - definition).abs() < 1e-9, "{p:?}: {sum} against {definition}");
        }
        for (what, (got, want)) in got.iter().zip(&want).enumerate() {
            let scale = want.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() <= 1e-5 * scale, "{p:?} {what}: {g} against {w}");
            }
        }
    }
}

#[test]
fn biases_are_added_to_every_kind_of_convolution() {
    type Case = (&'static [usize], &'static [usize], ConvParams);
    let cases: [Case; 6] = [
        // Minimal filtering, filters of one tap, planes alone, and direct sums.
        (&[2, 16, 9, 9], &[16, 16, 3, 3], params((1, 1), (1, 1), (1, 1), 1)),
        (&[2, 32, 9, 9], &[2, 16, 16, 3, 3], params((1, 1), (1, 1), (1, 1), 2)),
        (&[1, 8, 23, 23], &[8, 8, 1, 1], params((1, 1), (0, 0), (1, 1), 1)),
        (&[2, 4, 9, 9], &[4, 1, 1, 3, 3], params((1, 1), (1, 1), (1, 1), 4)),
        (&[2, 4, 9, 9], &[6, 4, 3, 3], params((2, 2), (1, 1), (1, 1), 1)),
        (&[2, 4, 9, 9], &[2, 3, 2, 3, 3], params((2, 1), (1, 1), (1, 1), 2)),
    ];
    for (x, w, p) in cases {
        let law = laws("conv2d", move |t| ops::conv2d(&t[0], &t[1], Some(&t[2]), p));
        let outs = if w.len() == 4 { w[0] } else { w[0] * w[1] };
        let law = law.input(x, -1.0, 1.0).input(w, -1.0, 1.0).input(&[1, outs, 1, 1], -1.0, 1.0);
        law.rtol(1e-4).first_order().check();
        let _alone = alone();
        let mut rng = Rng::new(1);
        let mut random = |s: &[usize]| {
            let data: Vec<f64> = (0..s.iter().product()).map(|_| rng.next() - 0.5).collect();
            tensor(s, &data, DType::F32)
        };
        let (x, w, b) = (random(x), random(w), random(&[outs]));
        let same = |y: Tensor, plain: Tensor, b: &Tensor| {
            let b = ops::reshape(b, &[1, b.numel(), 1, 1]).unwrap();
            let want = ops::add(&plain, &b).unwrap();
            assert_eq!(y.to_f64_vec().unwrap(), want.to_f64_vec().unwrap(), "{p:?}");
        };
        let y = ops::conv2d(&x, &w, Some(&b), p).unwrap();
        let plain = ops::conv2d(&x, &w, None, p).unwrap();
        same(y, plain.clone(), &b);
        let b = random(&[x.shape()[1]]);
        let back = |b| ops::conv_transpose2d(&plain, &w, b, p, (0, 0)).unwrap();
        same(back(Some(&b)), back(None), &b);
    }
}

#[test]
fn what_follows_a_convolution_is_the_same_in_one_pass() {
    let _alone = alone();
    let mut rng = Rng::new(1);
    // Minimal filtering, filters of one tap, planes alone, and direct sums.
    for (x, w, p) in [
        (&[2, 16, 9, 9][..], &[16, 16, 3, 3][..], params((1, 1), (1, 1), (1, 1), 1)),
        (&[2, 32, 9, 9], &[2, 16, 16, 3, 3], params((1, 1), (1, 1), (1, 1), 2)),
        (&[1, 8, 23, 23], &[8, 8, 1, 1], params((1, 1), (0, 0), (1, 1), 1)),
        (&[2, 4, 9, 9], &[4, 1, 1, 3, 3], params((1, 1), (1, 1), (1, 1), 4)),
        (&[2, 4, 9, 9], &[2, 3, 2, 3, 3], params((2, 1), (1, 1), (1, 1), 2)),
        (&[0, 4, 9, 9], &[5, 4, 3, 3], params((1, 1), (0, 0), (1, 1), 1)),
    ] {
        for dtype in [DType::F32, DType::F64] {
            let mut random = |s: &[usize]| {
                let n: usize = s.iter().product();
                tensor(s, &(0..n).map(|_| rng.next() - 0.5).collect::<Vec<_>>(), dtype)
            };
            let (x, w) = (random(x), random(w));
            let plain = ops::conv2d(&x, &w, None, p).unwrap();
            let channels = plain.shape()[1];
            let (bias, slope, all) = (random(&[channels]), random(&[1]), random(&[channels]));
            let residual = random(plain.shape());
            for bits in 0..16 {
                let bias = (bits & 1 != 0).then_some(&bias);
                let residual = (bits & 2 != 0).then_some(&residual);
                let activation = match bits / 4 {
                    0 => ConvActivation::Identity,
                    1 => ConvActivation::Relu,
                    2 => ConvActivation::Prelu(&slope),
                    _ => ConvActivation::Prelu(&all),
                };
                let after = ConvEpilogue { bias, residual, activation };
                let fused = || ops::conv2d_fused(&x, &w, p, after).unwrap().to_f64_vec().unwrap();
                let one = fused();
                let apart = GradManager::new().scope(|_| Ok(fused())).unwrap();
                assert_eq!(one, apart, "{x} {w} {dtype:?} {bits}");
                assert_eq!(one == plain.to_f64_vec().unwrap(), bits == 0 || one.is_empty());
            }
        }
    }
}

#[test]
fn what_follows_a_convolution_has_gradients() {
    let p = params((1, 1), (1, 1), (1, 1), 1);
    let law = laws("conv2d_fused", move |t| {
        let activation = ConvActivation::Prelu(&t[4]);
        let after = ConvEpilogue { bias: Some(&t[2]), residual: Some(&t[3]), activation };
        ops::conv2d_fused(&t[0], &t[1], p, after)
    });
    let law = law.input(&[1, 2, 4, 4], -1.0, 1.0).input(&[3, 2, 3, 3], -1.0, 1.0);
    let law = law.input(&[3], -1.0, 1.0).input(&[1, 3, 4, 4], -1.0, 1.0).input(&[3], 0.1, 0.5);
    law.rtol(1e-4).first_order().check();
}

#[test]
fn what_cannot_follow_a_convolution_is_an_error() {
    let ones = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    let (x, w, other) = (ones(&[1, 2, 4, 4]), ones(&[3, 2, 3, 3]), ones(&[1, 3, 1, 1]));
    let slope = ones(&[2]);
    for after in [
        ConvEpilogue { bias: Some(&slope), ..Default::default() },
        ConvEpilogue { residual: Some(&other), ..Default::default() },
        ConvEpilogue { activation: ConvActivation::Prelu(&slope), ..Default::default() },
    ] {
        let run = || ops::conv2d_fused(&x, &w, ConvParams::default(), after);
        assert_eq!(run().unwrap_err().kind(), ErrorKind::Shape);
        let apart = GradManager::new().scope(|_| Ok(run())).unwrap();
        assert_eq!(apart.unwrap_err().kind(), ErrorKind::Shape);
    }
}

#[test]
fn filters_that_are_used_again_give_the_same_until_they_change() {
    let _alone = alone();
    let mut rng = Rng::new(1);
    let mut random = |s: &[usize]| {
        let data: Vec<f64> = (0..s.iter().product()).map(|_| rng.next() - 0.5).collect();
        tensor(s, &data, DType::F32)
    };
    for (w, groups) in [(&[20, 9, 2, 3][..], 1), (&[3, 5, 3, 3, 2], 3), (&[17, 9, 1, 1], 1)] {
        let (x, mut w) = (random(&[2, 9, 7, 7]), random(w));
        let p = params((2, 1), (1, 0), (1, 1), groups);
        let conv = |w: &Tensor| ops::conv2d(&x, w, None, p).unwrap().to_vec::<f32>().unwrap();
        for _ in 0..2 {
            let first = conv(&w);
            assert_eq!([conv(&w), conv(&w)], [first.clone(), first.clone()]);
            w.as_mut_slice::<f32>().unwrap().iter_mut().for_each(|v| *v *= 2.0);
            assert_eq!(conv(&w), first.iter().map(|v| v * 2.0).collect::<Vec<_>>());
        }
    }
}

#[test]
fn without_minimal_filtering_sums_are_direct() {
    let _alone = alone();
    // Whole numbers, whose direct sums are exact.
    let whole = |shape: &[usize]| {
        let n: usize = shape.iter().product();
        let v: Vec<f64> = (0..n).map(|i| (i * 37 % 23) as f64 - 11.0).collect();
        tensor(shape, &v, DType::F32)
    };
    let (x, w, p) = (whole(&[1, 32, 9, 9]), whole(&[32, 32, 3, 3]), ConvParams::default());
    let (got, want) = (|| with_gradients(&x, &w, p)[0].clone(), reference(&x, &w, p));
    ops::set_winograd(false);
    let direct = got();
    ops::set_winograd(true);
    assert_eq!(direct, want);
    assert!(got() != want);
}

#[test]
fn transposed_convolutions_obey_the_laws() {
    type Case = (&'static [usize], &'static [usize], ConvParams, (usize, usize));
    let cases: [Case; 4] = [
        (&[2, 3, 4, 5], &[3, 2, 3, 3], params((1, 1), (0, 0), (1, 1), 1), (0, 0)),
        (&[2, 3, 4, 5], &[3, 2, 3, 2], params((2, 3), (1, 0), (1, 1), 1), (1, 2)),
        (&[2, 4, 3, 3], &[2, 2, 3, 3, 3], params((2, 2), (1, 1), (1, 1), 2), (0, 0)),
        (&[1, 4, 3, 3], &[4, 1, 1, 3, 3], params((2, 2), (1, 1), (1, 1), 4), (1, 1)),
    ];
    for (x, w, p, o) in cases {
        two(
            laws("conv_transpose2d", move |t| ops::conv_transpose2d(&t[0], &t[1], None, p, o)),
            x,
            w,
        );
    }
}

#[test]
fn convolutions_that_do_not_fit_are_errors() {
    let t = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    let p = ConvParams::default();
    let bad = [
        (t(&[1, 3, 4, 4]), t(&[2, 4, 3, 3]), p),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 5, 5]), p),
        (t(&[3, 4, 4]), t(&[2, 3, 3, 3]), p),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 3, 3]), ConvParams { stride: (0, 1), ..p }),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 3, 3]), ConvParams { groups: 2, ..p }),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 3, 3]), ConvParams { padding: (usize::MAX, 0), ..p }),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 3, 3]), ConvParams { dilation: (usize::MAX, 1), ..p }),
        (t(&[1, 3, 4, 4]), t(&[2, 3, 3, 3]), ConvParams { padding: (1 << 62, 0), ..p }),
    ];
    for (x, w, p) in &bad {
        let e = ops::conv2d(x, w, None, *p).unwrap_err().to_string();
        assert!(e.contains("conv2d"), "{e}");
    }
    assert!(ops::conv2d(&t(&[1, 3, 4, 4]), &t(&[2, 3, 3, 3]), Some(&t(&[3])), p).is_err());
}

#[test]
fn taps_and_windows_may_lie_as_far_apart_as_indices_reach() {
    let x = Tensor::ones(&[1, 4, 4, 4], DType::F32).unwrap();
    for (filters, groups) in [(8, 1), (4, 4)] {
        let channels = 4 / groups;
        let filters_of = |r: usize| {
            let shape = [groups, filters / groups, channels, r, r];
            Tensor::ones(if groups == 1 { &shape[1..] } else { &shape }, DType::F32).unwrap()
        };
        // Of every window, the tap in the middle alone lies in the image.
        let far = (1 << 33, 1 << 33);
        let p = params((1, 1), far, far, groups);
        let [y, dx, dw] = with_gradients(&x, &filters_of(3), p);
        assert_eq!(y, vec![channels as f64; filters * 16]);
        assert!(dx.iter().all(|v| *v != 0.0));
        assert!(dw.iter().enumerate().all(|(i, v)| (*v != 0.0) == (i % 9 == 4)), "{dw:?}");
        let most = (usize::MAX, usize::MAX);
        let p = params(most, (0, 0), most, groups);
        let [y, dx, _] = with_gradients(&x, &filters_of(1), p);
        assert_eq!(y, vec![channels as f64; filters]);
        assert_eq!(dx.iter().filter(|v| **v != 0.0).count(), 4);
    }
}

#[test]
fn dropout_keeps_the_mean_and_follows_the_seed() {
    let x = Tensor::ones(&[100_000], DType::F32).unwrap();
    let draw = || {
        tengen_core::random::seed(5);
        ops::dropout(&x, 0.3, true).unwrap().to_vec::<f32>().unwrap()
    };
    let y = draw();
    assert_eq!(y, draw());
    let mean = y.iter().map(|v| *v as f64).sum::<f64>() / 1e5;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    let dropped = y.iter().filter(|v| **v == 0.0).count();
    assert!((29_000..31_000).contains(&dropped), "{dropped}");
    assert!(y.iter().all(|v| *v == 0.0 || (*v - 1.0 / 0.7).abs() < 1e-6));
    assert_eq!(ops::dropout(&x, 0.9, false).unwrap().to_vec::<f32>().unwrap()[..3], [1.0; 3]);
    assert_eq!(ops::dropout(&x, 1.0, true).unwrap().to_vec::<f32>().unwrap()[..3], [0.0; 3]);
    assert!(ops::dropout(&x, 1.5, true).is_err());
}

#[test]
fn embedding_obeys_the_laws() {
    laws("embedding", |x| ops::embedding(&Tensor::from_slice(&[2, 0, 2, 1], &[2, 2])?, &x[0]))
        .input(&[3, 4], -1.0, 1.0)
        .check();
    let table = Tensor::ones(&[3, 4], DType::F32).unwrap();
    for bad in [3, -4] {
        assert!(ops::embedding(&Tensor::from_slice(&[bad], &[1]).unwrap(), &table).is_err());
    }
}
