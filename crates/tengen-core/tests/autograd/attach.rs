//! Attaching variables.

use crate::{cube, grad, manager, var};
use std::time::Instant;
use tengen_core::{GradManager, Tensor, Var, ops};

#[test]
fn a_variable_gets_no_gradient_of_one_that_is_gone() {
    let mut gm = GradManager::new();
    gm.record().unwrap();
    let mut total = Tensor::zeros(&[1], tengen_core::DType::F64).unwrap();
    for i in 0..50 {
        let x = var(i as f64);
        gm.attach(&x).unwrap();
        total = ops::add(&total, &ops::square(&x.get()).unwrap()).unwrap();
    }
    let z = var(100.0);
    gm.attach(&z).unwrap();
    gm.backward(&ops::add(&total, &z.get()).unwrap()).unwrap();
    assert_eq!(grad(&z), Some(1.0));
}

#[test]
fn no_two_variables_have_the_same_identity_even_one_after_the_other() {
    let ids: std::collections::HashSet<u64> = (0..1000).map(|_| var(1.0).id()).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn attached_variables_keep_their_order_and_the_gone_are_dropped() {
    let mut gm = GradManager::new();
    let mut kept: Vec<Var> = Vec::new();
    for i in 0..1000 {
        let x = var(i as f64);
        gm.attach(&x).unwrap().attach(&x).unwrap();
        if i % 3 == 0 {
            kept.push(x);
        }
    }
    let attached = gm.attached();
    assert!(attached.iter().map(Var::id).eq(kept.iter().map(Var::id)));
}

#[test]
fn attaching_takes_time_in_proportion() {
    let attach = |n: usize| {
        let vars: Vec<Var> = (0..n).map(|_| var(1.0)).collect();
        let start = Instant::now();
        let mut gm = manager(&vars);
        gm.attach_all(&vars).unwrap();
        gm.record().unwrap();
        let mut y = vars[0].get();
        for v in &vars[1..] {
            y = ops::add(&y, &v.get()).unwrap();
        }
        gm.backward(&y).unwrap();
        assert!(vars.iter().all(|v| grad(v) == Some(1.0)));
        start.elapsed().as_secs_f64()
    };
    attach(1000);
    // Sixteen times as many: 256 times the time, were each compared with all the others.
    let few = (0..3).map(|_| attach(1000)).fold(f64::INFINITY, f64::min);
    let many = (0..3).map(|_| attach(16_000)).fold(f64::INFINITY, f64::min);
    assert!(many < 80.0 * few, "{few} s for 1000, {many} s for 16000");
}

#[test]
fn what_an_operator_gave_can_be_attached_and_what_replaces_a_value_does_not_take_its_gradient() {
    let (x, mut gm) = (var(3.0), GradManager::new());
    gm.attach(&x).unwrap().record().unwrap();
    let y = Var::new(cube(&x.get()).unwrap());
    gm.attach(&y).unwrap();
    x.replace(ops::add(&x.get(), &x.get()).unwrap());
    let z = ops::mul(&ops::square(&y.get()).unwrap(), &x.get()).unwrap();
    gm.backward(&z).unwrap();
    // z = (x³)²·2x
    assert_eq!(grad(&y), Some(2.0 * 27.0 * 6.0));
    assert_eq!(grad(&x), Some(14.0 * 3f64.powi(6)));
}

#[test]
fn callbacks_run_in_the_order_in_which_they_were_attached() {
    let (x, mut gm) = (var(3.0), GradManager::new());
    let add = |n: f64| -> tengen_core::Callback {
        Box::new(move |_, g| {
            let n = Tensor::full(&[], n, g.dtype())?;
            Ok(Some(ops::add(&ops::mul(&g, &n)?, &n)?))
        })
    };
    gm.attach_with(&x, vec![add(2.0)]).unwrap().attach_with(&x, vec![add(10.0)]).unwrap();
    gm.record().unwrap();
    gm.backward(&x.get()).unwrap();
    assert_eq!(grad(&x), Some((1.0 * 2.0 + 2.0) * 10.0 + 10.0));
}
