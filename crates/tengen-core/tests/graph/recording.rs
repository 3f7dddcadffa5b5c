//! What becomes a step, what a constant, and what an error.

use super::{floats, numbers};
use tengen_core::graph::Graph;
use tengen_core::ops::{self, ConvParams, Index};
use tengen_core::{ErrorKind, Result, Tensor};

#[test]
fn a_later_tensor_has_no_value_to_read() {
    let failed = Graph::record(&[floats(&[1])], |x| {
        assert!(x[0].is_later());
        for e in [
            x[0].item().unwrap_err(),
            x[0].to_vec::<f32>().unwrap_err(),
            x[0].to_f64_vec().unwrap_err(),
            x[0].as_slice::<f32>().unwrap_err(),
            x[0].clone().as_mut_slice::<f32>().unwrap_err(),
            ops::nonzero(&x[0]).unwrap_err(),
        ] {
            assert_eq!(e.kind(), ErrorKind::Value);
            assert!(e.to_string().contains("no value"), "{e}");
        }
        Ok(vec![Tensor::scalar(x[0].item()?)?])
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn a_later_tensor_ends_with_its_recording() {
    let mut kept = None;
    let record = |f: &mut dyn FnMut(&Tensor) -> Result<Tensor>| {
        Graph::record(&[floats(&[2])], |x| Ok(vec![f(&x[0])?]))
    };
    record(&mut |x| {
        kept = Some(x.clone());
        ops::relu(x)
    })
    .unwrap();
    let kept = kept.unwrap();
    let told = |e: tengen_core::Error| {
        assert_eq!(e.kind(), ErrorKind::Value);
        assert!(e.to_string().contains("not being recorded here"), "{e}");
    };
    told(ops::relu(&kept).unwrap_err());
    told(record(&mut |x| ops::add(x, &kept)).unwrap_err());
    told(record(&mut |_| Ok(kept.clone())).unwrap_err());
    // An error in the middle ends a recording, too.
    record(&mut |x| ops::reshape(x, &[3])).unwrap_err();
    assert_eq!(record(&mut ops::relu).unwrap().steps().len(), 1);
}

#[test]
fn recordings_lie_within_each_other() {
    let outer = Graph::record(&[floats(&[2])], |x| {
        let inner = Graph::record(&[floats(&[2])], |y| {
            let mixed = ops::add(&y[0], &x[0]).unwrap_err();
            assert_eq!(mixed.kind(), ErrorKind::Value, "{mixed}");
            Ok(vec![ops::neg(&y[0])?])
        })?;
        assert_eq!(inner.steps().len(), 1);
        // What was recorded inside becomes steps outside.
        inner.run([ops::relu(&x[0])?])
    });
    let outer = outer.unwrap();
    let names: Vec<_> = outer.steps().iter().map(|s| s.op().name()).collect();
    assert_eq!(names, ["relu", "neg"]);
    let y = outer.run([Tensor::from_slice(&[-1.0f32, 2.0], &[2]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [-0.0, -2.0]);
}

#[test]
fn steps_without_use_are_left_out() {
    let graph = Graph::record(&[floats(&[2]), floats(&[2])], |x| {
        let unused = Tensor::from_slice(&[1.0f32, 2.0], &[2])?;
        ops::exp(&ops::add(&x[1], &unused)?)?;
        let parts = ops::split(&ops::neg(&x[0])?, 2, 0)?;
        Ok(vec![parts[0].clone()])
    })
    .unwrap();
    let names: Vec<_> = graph.steps().iter().map(|s| s.op().name()).collect();
    assert_eq!(names, ["neg", "split"]);
    assert!(graph.constants().is_empty());
    assert_eq!(graph.inputs().len(), 2);
}

#[test]
fn a_constant_is_held_once_however_often_it_is_read() {
    let w = numbers(floats(&[40]), 1);
    let other = numbers(floats(&[40]), 1);
    let graph = Graph::record(&[floats(&[40])], |x| {
        let y = ops::mul(&ops::add(&x[0], &w)?, &w.clone())?;
        Ok(vec![ops::sub(&y, &other)?, w.clone()])
    })
    .unwrap();
    assert_eq!(graph.constants().len(), 2);
    let (first, second) = (graph.steps()[0].inputs()[1], graph.steps()[1].inputs()[1]);
    assert_eq!(first, second);
}

#[test]
fn inputs_have_to_be_those_that_were_recorded() {
    let graph = Graph::record(&[floats(&[2])], |x| Ok(vec![ops::relu(&x[0])?])).unwrap();
    assert_eq!(graph.run([]).unwrap_err().kind(), ErrorKind::Value);
    let e = graph.run([numbers(floats(&[3]), 0)]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Shape);
    assert!(e.to_string().contains("f32[3]") && e.to_string().contains("f32[2]"), "{e}");
}

#[test]
fn a_graph_is_made_for_another_batch() {
    type F = fn(&[Tensor]) -> Result<Tensor>;
    let cases: [(F, &[usize]); 4] = [
        (|x| ops::relu(&x[0]), &[5]),
        (|x| ops::matmul(&x[0], &numbers(floats(&[5, 4]), 2), false, false), &[5]),
        (|x| ops::softmax(&x[0], 0), &[5]),
        (
            |x| ops::conv2d(&x[0], &numbers(floats(&[2, 3, 3, 3]), 4), None, ConvParams::default()),
            &[3, 6, 6],
        ),
    ];
    for (f, rest) in cases {
        let of = |n: usize| floats(&[&[n], rest].concat());
        let graph = Graph::record(&[of(2)], |x| Ok(vec![f(x)?])).unwrap();
        for n in [1, 7, 0] {
            let other = graph.specialise(&[of(n)]).unwrap();
            let x = numbers(of(n), 3);
            let (got, want) = (other.run([x.clone()]).unwrap(), f(&[x]).unwrap());
            assert_eq!(got[0].to_f64_vec().unwrap(), want.to_f64_vec().unwrap(), "{graph}");
        }
    }
}

#[test]
fn an_extent_that_an_operator_has_as_attribute_does_not_fit_another_batch() {
    let graph = Graph::record(&[floats(&[2, 6])], |x| {
        let row = [Index::Slice { start: Some(0), stop: Some(2), step: 1 }];
        Ok(vec![ops::reshape(&ops::getitem(&ops::neg(&x[0])?, &row)?, &[4, 3])?])
    })
    .unwrap();
    let e = graph.specialise(&[floats(&[3, 6])]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Shape);
    let told = e.to_string();
    assert!(told.contains("reshape") && told.contains("[4, 3]"), "{told}");
}
