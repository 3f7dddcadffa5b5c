use super::plan::{Way, way};
use crate::op::{Op, describe};
use crate::ops::conv::{Conv, ConvEpilogue, ConvParams, Pass};
use crate::{DType, Tensor};
use tengen_kernels::conv::Geometry;

fn numbers(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let v: Vec<f64> =
        (0..n).map(|i| ((i * 7919 + seed * 31) % 2003) as f64 / 1001.0 - 1.0).collect();
    Tensor::from_slice(&v, shape).unwrap()
}

fn params(
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
    groups: usize,
) -> ConvParams {
    ConvParams { stride, padding, dilation, groups }
}

/// Images, filters, and how the window moves.
type Case = ([usize; 4], [usize; 4], ConvParams);

const ONE: (usize, usize) = (1, 1);
const NONE: (usize, usize) = (0, 0);

fn cases() -> Vec<Case> {
    vec![
        ([3, 5, 6, 7], [4, 5, 6, 7], params(ONE, NONE, ONE, 1)),
        ([3, 6, 4, 4], [8, 3, 4, 4], params((2, 3), NONE, ONE, 2)),
        ([1, 3, 5, 5], [3, 1, 5, 5], params(ONE, NONE, ONE, 3)),
        ([2, 4, 6, 6], [6, 4, 5, 6], params(ONE, (1, 2), ONE, 1)),
        ([2, 4, 6, 6], [6, 2, 6, 1], params(ONE, (0, 1), (1, 5), 2)),
        ([2, 3, 40, 43], [5, 3, 2, 2], params(ONE, NONE, (37, 36), 1)),
        ([2, 6, 9, 8], [6, 1, 3, 3], params((2, 1), ONE, (1, 2), 6)),
        ([1, 2, 30, 70], [3, 2, 3, 3], params(ONE, ONE, ONE, 1)),
        ([40, 2, 3, 3], [3, 2, 2, 2], params(ONE, NONE, ONE, 1)),
        ([1, 1, 1, 1], [2, 1, 1, 1], params((9, 9), (3, 0), ONE, 1)),
    ]
}

#[test]
fn gathered_windows_give_direct_sums() {
    for (x, w, p) in cases() {
        let forward = Conv { params: p, pass: Pass::Forward };
        let (x, w) = (numbers(&x, 1), numbers(&w, 2));
        let out = forward.infer(describe(&[&x, &w])).unwrap()[0].shape;
        let dy = numbers(&out, 3);
        let (to_input, to_filter) =
            (Pass::ToInput(x.shape()[2], x.shape()[3]), Pass::ToFilter(w.shape()[2], w.shape()[3]));
        for (pass, a, b) in [(Pass::Forward, &x, &w), (to_input, &dy, &w), (to_filter, &x, &dy)] {
            let conv = Conv { params: p, pass };
            let shape = conv.infer(describe(&[a, b])).unwrap()[0].shape;
            let (g, n) = conv.geometry(a.shape(), b.shape(), &shape);
            let none = ConvEpilogue::default();
            let direct = match pass {
                Pass::ToFilter(..) => conv.direct_to_filter::<f64>(a, b, g, n, shape),
                _ => conv.direct::<f64>(a, b, &none, g, n, shape),
            };
            let want = direct.unwrap().to_f64_vec().unwrap();
            let got = conv.gathered::<f64>(a, b, g, n, shape).unwrap();
            assert_eq!(*got.shape(), shape);
            for (a, b) in got.to_f64_vec().unwrap().iter().zip(want) {
                assert!((a - b).abs() < 1e-10, "{p:?}: {a}, not {b}");
            }
        }
    }
}

/// The ways of the three passes over `n` images in f32.
fn ways(
    n: usize,
    channels: (usize, usize),
    image: usize,
    filter: usize,
    p: ConvParams,
) -> [Way; 3] {
    let square = |n| (n, n);
    let (image, filter) = (square(image), square(filter));
    let channels = (channels.0 / p.groups, channels.1 / p.groups);
    let g = Geometry::new(channels, image, filter, p.stride, p.padding, p.dilation).unwrap();
    let passes =
        [Pass::Forward, Pass::ToInput(image.0, image.1), Pass::ToFilter(filter.0, filter.1)];
    passes.map(|pass| way(pass, &g, n, DType::F32))
}

#[test]
fn usual_layers_are_direct_sums_or_minimal_filtering() {
    let same = |padding, stride| params((stride, stride), (padding, padding), ONE, 1);
    for (n, channels, image, filter, p, want) in [
        (16, (64, 64), 56, 3, same(1, 1), Way::Winograd),
        (16, (64, 128), 56, 3, same(1, 2), Way::Direct),
        (16, (256, 512), 14, 3, same(1, 2), Way::Direct),
        (16, (3, 64), 224, 7, same(3, 2), Way::Direct),
        (16, (32, 32), 28, 5, same(2, 1), Way::Direct),
        (16, (256, 256), 14, 1, same(0, 1), Way::Direct),
        (64, (8, 16), 14, 5, same(2, 1), Way::Direct),
    ] {
        assert_eq!(ways(n, channels, image, filter, p), [want; 3], "{channels:?} {image} {filter}");
    }
    let depthwise = params(ONE, ONE, ONE, 64);
    assert_eq!(ways(16, (64, 64), 56, 3, depthwise), [Way::Depthwise; 3]);
}

#[test]
fn windows_that_cover_much_and_are_few_are_gathered() {
    let plain = ConvParams::default();
    assert_eq!(ways(8, (64, 64), 14, 14, plain), [Way::Gathered; 3]);
    assert_eq!(ways(8, (64, 64), 14, 13, plain)[1], Way::Gathered);
    assert_eq!(ways(8, (64, 64), 32, 32, ConvParams { groups: 64, ..plain })[1], Way::Gathered);
    let apart = params(ONE, (36, 36), (36, 36), 1);
    assert_eq!(ways(4, (64, 64), 48, 3, apart)[0], Way::Gathered);
}
