//! Managers inside what another one does.

use crate::{cube, grad, manager, var};
use std::sync::{Arc, Mutex};
use tengen_core::op::{Attributes, Described};
use tengen_core::{
    Eval, GradManager, Gradient, Grads, Meta, Metas, Op, Result, Tensor, Tensors, Var, apply1,
    is_recording, ops, without_recording,
};

/// The derivative of x³ by a manager of its own.
fn slope(x: &Tensor) -> Result<Tensor> {
    let v = Var::new(x.detach());
    let mut gm = GradManager::new();
    gm.attach(&v)?.record()?;
    gm.backward(&cube(&v.get())?)?;
    Ok(v.grad().expect("it was recorded").get())
}

/// x³, whose gradient differentiates it again.
#[derive(Attributes)]
struct Cube;
impl Op for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        Ok([Some(ops::mul(&g.dy(0)?, &slope(g.input(0)?)?)?)].into_iter().collect())
    }
}
impl Eval for Cube {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok([without_recording(|| cube(x[0]))?].into_iter().collect())
    }
}

#[test]
fn a_manager_records_inside_the_gradient_of_an_operator() {
    let x = var(2.0);
    let mut gm = manager([&x]);
    gm.record().unwrap();
    let y = apply1(Cube, &[&ops::square(&x.get()).unwrap()]).unwrap();
    gm.backward(&y).unwrap();
    assert_eq!(grad(&x), Some(6.0 * 32.0));
    assert!(!is_recording());
}

#[test]
fn a_manager_records_where_recording_is_paused_and_leaves_the_outer_tape_alone() {
    let x = var(2.0);
    let mut outer = manager([&x]);
    outer.record().unwrap();
    let before = ops::square(&x.get()).unwrap();
    let inner = without_recording(|| {
        assert!(!is_recording());
        let x_alone = slope(&before).unwrap();
        assert!(!is_recording());
        // The variable of the outer manager, in one that is released without a pass, and in one
        // that takes its gradient.
        let mut idle = manager([&x]);
        idle.record().unwrap();
        assert!(is_recording());
        cube(&x.get()).unwrap();
        idle.release();
        assert!(!is_recording());
        let mut gm = manager([&x]);
        gm.record().unwrap();
        gm.backward(&cube(&x.get()).unwrap()).unwrap();
        let own = x.grad().unwrap().get();
        x.set_grad(None);
        assert_eq!(own.item().unwrap(), 12.0);
        ops::add(&x_alone, &own).unwrap()
    });
    assert_eq!(inner.item().unwrap(), 48.0 + 12.0);
    assert!(is_recording());
    let y = ops::mul(&ops::mul(&before, &x.get()).unwrap(), &inner).unwrap();
    outer.backward(&y).unwrap();
    assert_eq!(grad(&x), Some(12.0 * 60.0));
}

#[test]
fn managers_inside_a_paused_region_nest_like_any_others() {
    let x = var(2.0);
    let mut outermost = manager([&x]);
    outermost.record().unwrap();
    let y = cube(&x.get()).unwrap();
    let second = without_recording(|| {
        let v = var(2.0);
        let (mut outer, mut inner) = (manager([&v]), manager([&v]));
        outer.record().unwrap();
        inner.record().unwrap();
        inner.backward(&cube(&v.get()).unwrap()).unwrap();
        let first = v.grad().unwrap().get();
        v.set_grad(None);
        outer.backward(&first).unwrap();
        v.grad().unwrap().get().item().unwrap()
    });
    assert_eq!(second, 12.0);
    outermost.backward(&y).unwrap();
    assert_eq!(grad(&x), Some(12.0));
}

#[test]
fn a_manager_that_outlives_the_paused_region_keeps_what_it_recorded_there() {
    let (x, v) = (var(2.0), var(3.0));
    let (mut outer, mut inner) = (manager([&x]), manager([&v]));
    outer.record().unwrap();
    let y = without_recording(|| {
        inner.record().unwrap();
        cube(&v.get()).unwrap()
    });
    let z = cube(&x.get()).unwrap();
    inner.backward(&y).unwrap();
    assert_eq!(grad(&v), Some(27.0));
    outer.backward(&z).unwrap();
    assert_eq!(grad(&x), Some(12.0));
    assert!(!is_recording());
}

#[test]
fn the_outer_manager_may_end_while_it_is_paused() {
    let x = var(2.0);
    let mut outer = manager([&x]);
    outer.record().unwrap();
    without_recording(|| {
        let mut inner = manager([&x]);
        inner.record().unwrap();
        outer.release();
        inner.backward(&cube(&x.get()).unwrap()).unwrap();
    });
    assert_eq!(grad(&x), Some(12.0));
    assert!(!is_recording());
}

#[test]
fn a_gradient_that_another_manager_records_goes_on_through_one_recorded_before() {
    // The inner manager records where the outer one is paused, and runs its pass where it is not.
    let (x, v) = (var(2.0), var(3.0));
    let (mut outer, mut inner) = (manager([&x]), manager([&v]));
    outer.record().unwrap();
    let y = without_recording(|| {
        inner.record().unwrap();
        cube(&v.get()).unwrap()
    });
    inner.backward_with(&[y], Some(&[ops::square(&x.get()).unwrap()])).unwrap();
    outer.backward(&v.grad().unwrap().get()).unwrap();
    assert_eq!(grad(&x), Some(2.0 * 2.0 * 27.0));
}

#[test]
fn callbacks_record_and_attach_while_their_own_manager_runs() {
    let (x, other) = (var(2.0), var(5.0));
    let gm = Arc::new(Mutex::new(GradManager::new()));
    let (weak, attach) = (Arc::downgrade(&gm), other.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let callback: tengen_core::Callback = Box::new(move |v, g| {
        let gm = weak.upgrade().unwrap();
        gm.lock().unwrap().attach(&attach)?;
        assert_eq!(gm.lock().unwrap().attached().len(), 2);
        let again = gm.lock().unwrap().record().unwrap_err();
        assert!(again.to_string().contains("runs its backward pass"), "{again}");
        let again = gm.lock().unwrap().backward(&g).unwrap_err();
        assert!(again.to_string().contains("runs its backward pass"), "{again}");
        gm.lock().unwrap().release();
        log.lock().unwrap().push(slope(&v.get())?.item()?);
        Ok(Some(g))
    });
    gm.lock().unwrap().attach_with(&x, vec![callback]).unwrap().record().unwrap();
    let y = ops::square(&x.get()).unwrap();
    let pass = gm.lock().unwrap().begin_backward().unwrap();
    pass.run(&[y], None, |_, g| Ok(Some(g))).unwrap();
    assert_eq!(grad(&x), Some(4.0));
    assert_eq!(*seen.lock().unwrap(), [12.0]);
    gm.lock().unwrap().record().unwrap();
    let y = ops::square(&other.get()).unwrap();
    gm.lock().unwrap().backward(&y).unwrap();
    assert_eq!(grad(&other), Some(10.0));
}
