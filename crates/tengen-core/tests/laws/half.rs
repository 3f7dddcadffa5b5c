//! Two-byte operands give what their widened values give, rounded once.

use crate::harness::{Rng, alone, tensor};
use tengen_core::{DType, GradManager, Tensor, Var, ops};
use tengen_kernels::lanes::{available, with_isa};

/// The values of a tensor's elements, NaN aside.
fn values(t: &Tensor) -> Vec<f64> {
    t.to_f64_vec().unwrap()
}

fn cases(dtype: DType) -> Vec<[Tensor; 2]> {
    let mut rng = Rng::new(5);
    let shapes: [[&[usize]; 2]; 6] = [
        [&[3], &[3]],
        [&[4, 700], &[4, 700]],
        [&[3, 5, 40], &[1, 5, 1]],
        [&[2, 1033], &[1033]],
        [&[50, 1300], &[]],
        [&[7, 3], &[7, 1]],
    ];
    shapes
        .map(|pair| {
            pair.map(|s| {
                let data: Vec<f64> =
                    (0..s.iter().product()).map(|_| rng.next() * 4.0 - 2.0).collect();
                tensor(s, &data, dtype)
            })
        })
        .into()
}

#[test]
fn halves_are_mapped_as_f32_and_rounded_once() {
    let _alone = alone();
    for isa in available() {
        with_isa(*isa, || [DType::F16, DType::BF16].into_iter().for_each(mapped));
    }
}

fn mapped(dtype: DType) {
    for [a, b] in cases(dtype) {
        let [p, q] = [&a, &b].map(|x| ops::cast(x, DType::F32).unwrap());
        for f in [ops::add, ops::mul, ops::maximum] {
            let want = ops::cast(&f(&p, &q).unwrap(), dtype).unwrap();
            let got = f(&a, &b).unwrap();
            assert_eq!(got.dtype(), dtype);
            assert_eq!(values(&got), values(&want), "{a} {b}");
        }
        let want = ops::cast(&ops::exp(&p).unwrap(), dtype).unwrap();
        assert_eq!(values(&ops::exp(&a).unwrap()), values(&want));
        let want = ops::less(&p, &q).unwrap();
        assert_eq!(values(&ops::less(&a, &b).unwrap()), values(&want));
    }
}

/// The gradients of sum(a·b·b) to both operands.
fn gradients(a: &Tensor, b: &Tensor) -> Vec<Tensor> {
    let vars: Vec<Var> = [a, b].map(|x| Var::new(x.clone())).into();
    let mut gm = GradManager::new();
    gm.attach_all(&vars).unwrap();
    gm.record().unwrap();
    let [a, b] = [&vars[0], &vars[1]].map(Var::get);
    let y = ops::mul(&ops::mul(&a, &b).unwrap(), &b).unwrap();
    gm.backward(&ops::sum(&y, None, false).unwrap()).unwrap();
    vars.iter().map(|v| v.grad().unwrap().get()).collect()
}

#[test]
fn gradients_to_halves_are_near_those_to_f32() {
    let _alone = alone();
    for isa in available() {
        with_isa(*isa, near_f32);
    }
}

fn near_f32() {
    for (dtype, near) in [(DType::F16, 4e-3), (DType::BF16, 3e-2)] {
        for [a, b] in cases(dtype) {
            let [p, q] = [&a, &b].map(|x| ops::cast(x, DType::F32).unwrap());
            for (got, want) in gradients(&a, &b).iter().zip(&gradients(&p, &q)) {
                assert_eq!((got.dtype(), got.shape()), (dtype, want.shape()));
                let scale = values(want).iter().fold(1.0f64, |m, v| m.max(v.abs()));
                for (g, w) in values(got).iter().zip(&values(want)) {
                    assert!((g - w).abs() <= near * scale, "{a} {b}: {g}, not {w}");
                }
            }
        }
    }
}

#[test]
fn selection_broadcasts_every_size_of_element() {
    let mask =
        tensor(&[40, 1, 33], &Vec::from_iter((0..1320).map(|i| (i % 3 % 2) as f64)), DType::Bool);
    for dtype in [DType::U8, DType::F16, DType::F32, DType::I64] {
        let a = tensor(&[40, 6, 33], &Vec::from_iter((0..7920).map(|i| (i % 100) as f64)), dtype);
        for b in [
            tensor(&[6, 1], &[101.0, 102.0, 103.0, 104.0, 105.0, 106.0], dtype),
            tensor(&[], &[120.0], dtype),
        ] {
            let [m, p, q] =
                [&mask, &a, &b].map(|x| values(&ops::broadcast_to(x, a.shape()).unwrap()));
            let pick = |flip: bool| -> Vec<f64> {
                (0..m.len()).map(|i| if (m[i] != 0.0) != flip { p[i] } else { q[i] }).collect()
            };
            assert_eq!(values(&ops::select(&mask, &a, &b).unwrap()), pick(false));
            assert_eq!(values(&ops::select(&mask, &b, &a).unwrap()), pick(true));
        }
    }
    let yes = tensor(&[], &[1.0], DType::Bool);
    let (x, zero) = (tensor(&[3], &[1.0, 2.0, 3.0], DType::F32), tensor(&[], &[0.0], DType::F32));
    assert_eq!(values(&ops::select(&yes, &x, &zero).unwrap()), [1.0, 2.0, 3.0]);
    assert_eq!(values(&ops::select(&yes, &zero, &x).unwrap()), [0.0; 3]);
}
