//! Errors of user code arrive as they are.

use crate::{manager, var};
use std::error::Error as _;
use std::fmt;
use tengen_core::op::{Attributes, Described};
use tengen_core::{
    Error, ErrorKind, Eval, Gradient, Grads, Meta, Metas, Op, Result, Tensor, Tensors,
};
use tengen_core::{apply1, is_recording};

#[derive(Debug, PartialEq)]
struct Mine(u32);
impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mine {}", self.0)
    }
}
impl std::error::Error for Mine {}

#[derive(Attributes)]
struct Fails;
impl Op for Fails {
    fn name(&self) -> &'static str {
        "fails"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn grad(&self, _: &Gradient) -> Result<Grads> {
        Err(Error::from_source(ErrorKind::Value, Mine(7)).context("within"))
    }
}
impl Eval for Fails {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok([x[0].detach()].into_iter().collect())
    }
}

#[test]
fn the_error_of_an_operator_of_ones_own_comes_out_of_the_backward_pass() {
    let x = var(1.0);
    let mut gm = manager([&x]);
    gm.record().unwrap();
    let e = gm.backward(&apply1(Fails, &[&x.get()]).unwrap()).unwrap_err();
    assert_eq!(e.source().and_then(|s| s.downcast_ref()), Some(&Mine(7)));
    assert_eq!((e.kind(), e.to_string().as_str()), (ErrorKind::Value, "within: mine 7"));
    assert!(!is_recording());
    assert!(Error::new(ErrorKind::Value, "plain").source().is_none());
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn the_error_of_a_callback_comes_out_of_the_backward_pass() {
    let x = var(1.0);
    let mut gm = manager([]);
    gm.attach_with(&x, vec![Box::new(|_, _| Err(Error::from_source(ErrorKind::File, Mine(8))))])
        .unwrap();
    gm.record().unwrap();
    let e = gm.backward(&x.get()).unwrap_err();
    assert_eq!(e.source().and_then(|s| s.downcast_ref()), Some(&Mine(8)));
}
