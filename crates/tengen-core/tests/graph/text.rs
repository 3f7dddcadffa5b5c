//! Graphs as people read them.

use super::floats;
use tengen_core::graph::Graph;
use tengen_core::{GradManager, Tensor, Var, ops};

#[test]
fn a_graph_reads_like_a_program() {
    let slope = Tensor::scalar(0.5f32).unwrap();
    let graph = Graph::record(&[floats(&[2, 3]), floats(&[3, 4])], |x| {
        let y = ops::matmul(&x[0], &x[1], false, false)?;
        let parts = ops::split(&ops::mul(&ops::leaky_relu(&y, 0.125)?, &slope)?, 2, 1)?;
        Ok(vec![ops::sum(&parts[1], Some(&[0]), false)?, y])
    });
    let want = "\
%0: f32[2, 3]
%1: f32[3, 4]
%2 = constant f32[] [0.5]
%3 = matmul(%0, %1): f32[2, 4]
%4 = leaky_relu(%3, slope: 0.125): f32[2, 4]
%5 = mul(%4, %2): f32[2, 4]
%6, %7 = split(%5, axis: 1, ends: [2]): f32[2, 2], f32[2, 2]
%8 = sum(%7, kind: Sum, axes: [1], keepdims: false): f32[2]
return %8, %3";
    assert_eq!(graph.unwrap().to_string(), want);
}

#[test]
fn gradients_are_steps_like_others() {
    let graph = Graph::record(&[floats(&[2])], |x| {
        let v = Var::new(x[0].clone());
        let mut gm = GradManager::new();
        gm.attach(&v)?.record()?;
        gm.backward(&ops::sum(&ops::square(&v.get())?, None, false)?)?;
        Ok(vec![v.grad().map(|g| g.get()).unwrap()])
    });
    let want = "\
%0: f32[2]
%1 = constant f32[2] [1.0, 1.0]
%2 = square_gradient(%0, %1, by_value: false, wanted: [[[0, 0]]]): f32[2]
return %2";
    assert_eq!(graph.unwrap().to_string(), want);
}
