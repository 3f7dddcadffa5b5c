//! Managers that end on another thread than they started on.

use crate::{cube, grad, manager, var};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tengen_core::op::{Attributes, Described, Value};
use tengen_core::{Eval, Meta, Metas, Op, Result, Tensor, Tensors, apply1, is_recording, ops};

/// The identity, which counts itself off when the tape drops it.
struct Counted(Arc<AtomicUsize>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
impl Attributes for Counted {
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        vec![]
    }
}
impl Op for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
}
impl Eval for Counted {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok([x[0].detach()].into_iter().collect())
    }
}

#[test]
fn recording_ends_with_a_manager_that_is_dropped_elsewhere() {
    let (x, alive) = (var(2.0), Arc::new(AtomicUsize::new(1)));
    let mut gm = manager([&x]);
    gm.record().unwrap();
    apply1(Counted(alive.clone()), &[&x.get()]).unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    thread::spawn(move || drop(gm)).join().unwrap();
    ops::square(&x.get()).unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(!is_recording());
}

#[test]
fn recording_ends_with_a_backward_pass_elsewhere_which_is_an_error() {
    let x = var(2.0);
    let mut gm = manager([&x]);
    gm.record().unwrap();
    let y = cube(&x.get()).unwrap();
    let (mut gm, e) = thread::spawn(move || {
        let e = gm.backward(&y).unwrap_err();
        (gm, e)
    })
    .join()
    .unwrap();
    assert!(e.to_string().contains("another thread"), "{e}");
    assert!(!is_recording());
    gm.record().unwrap();
    gm.backward(&cube(&x.get()).unwrap()).unwrap();
    assert_eq!(grad(&x), Some(12.0));
}

#[test]
fn other_managers_go_on_when_one_ends_elsewhere() {
    let (x, alive) = (var(2.0), Arc::new(AtomicUsize::new(1)));
    let (mut outer, mut inner) = (manager([&x]), manager([&x]));
    outer.record().unwrap();
    apply1(Counted(alive.clone()), &[&x.get()]).unwrap();
    inner.record().unwrap();
    thread::spawn(move || drop(inner)).join().unwrap();
    assert!(is_recording());
    outer.backward(&cube(&x.get()).unwrap()).unwrap();
    assert_eq!(grad(&x), Some(12.0));
    assert!(!is_recording());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_manager_that_ends_elsewhere_while_it_is_paused_does_not_go_on_after_the_pause() {
    let x = var(2.0);
    let mut gm = manager([&x]);
    gm.record().unwrap();
    tengen_core::without_recording(|| thread::spawn(move || drop(gm)).join().unwrap());
    assert!(!is_recording());
}

#[test]
fn a_manager_that_records_elsewhere_attaches_nothing_here() {
    let (x, y) = (var(2.0), var(3.0));
    let mut gm = manager([&x]);
    gm.record().unwrap();
    let gm = thread::spawn(move || {
        let e = gm.attach(&y).map(drop).unwrap_err();
        assert!(e.to_string().contains("another thread"), "{e}");
        gm
    });
    drop(gm.join().unwrap());
    assert!(!is_recording());
}
