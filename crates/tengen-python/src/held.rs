//! The Python tensor, and what it holds.

use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use std::cell::UnsafeCell;
use std::mem::replace;
use std::sync::Mutex;
use tengen::{Tensor, Var};

/// A multi-dimensional array that operators and automatic differentiation work on.
///
/// `data` is a number, a (nested) sequence, a NumPy array or another tensor. Without `dtype`,
/// float64 becomes float32 and int64 becomes int32, as neural networks want it. Gradients flow on to
/// a tensor that is given.
///
/// >>> import megengine as mge
/// >>> mge.tensor([1.0, 2.0]) + 1
/// Tensor([2. 3.], device=xpux:0)
#[pyclass(name = "Tensor", module = "megengine.tensor", subclass, weakref, dict, frozen)]
pub struct PyTensor {
    pub held: Held,
    pub name: Mutex<Option<String>>,
}

impl PyTensor {
    /// A tensor object that holds a tensor or a variable.
    #[inline]
    pub fn new(held: impl Into<Held>) -> Self {
        PyTensor { held: held.into(), name: Mutex::new(None) }
    }
}

/// A tensor, which becomes a variable when something needs to share it: a gradient manager, an
/// optimizer, the gradient itself. Most results of operators never do, and cost no cell, no lock
/// and no count of their own. It is reached through [`Hold`].
pub struct Held(UnsafeCell<State>);

enum State {
    Plain(Tensor),
    Shared(Var),
}

// SAFETY: `locked` is the only access, and it holds the object's critical section: the interpreter
// lock, or the object's own lock where there is no such thing.
unsafe impl Sync for Held {}

impl From<Tensor> for Held {
    #[inline]
    fn from(tensor: Tensor) -> Self {
        Held(UnsafeCell::new(State::Plain(tensor)))
    }
}

impl From<Var> for Held {
    fn from(var: Var) -> Self {
        Held(UnsafeCell::new(State::Shared(var)))
    }
}

/// `f` is one of the short closures below: it must neither run Python nor come back here.
#[inline]
fn locked<R>(object: &Bound<'_, PyTensor>, f: impl FnOnce(&mut State) -> R) -> R {
    with_critical_section(object.as_any(), || {
        // SAFETY: no other thread is in the critical section, and `f` does not leave it or enter it
        // again, so this is the only reference.
        f(unsafe { &mut *object.get().held.0.get() })
    })
}

/// Reading and writing what a tensor object holds.
pub trait Hold {
    /// The value, with its place on the tape.
    fn value(&self) -> Tensor;
    /// The object as a variable, the same one at every call.
    fn var(&self) -> Var;
    /// The object as a variable, if something has needed it as one.
    fn shared(&self) -> Option<Var>;
    /// Replaces the value; shape and dtype may change.
    fn replace(&self, value: Tensor);
}

impl Hold for Bound<'_, PyTensor> {
    #[inline]
    fn value(&self) -> Tensor {
        locked(self, |state| match state {
            State::Plain(t) => t.clone(),
            State::Shared(v) => v.get(),
        })
    }

    fn var(&self) -> Var {
        locked(self, |state| {
            if let State::Plain(t) = state {
                *state = State::Shared(Var::new(t.clone()));
            }
            match state {
                State::Shared(v) => v.clone(),
                State::Plain(_) => unreachable!("made a variable above"),
            }
        })
    }

    fn shared(&self) -> Option<Var> {
        locked(self, |state| match state {
            State::Plain(_) => None,
            State::Shared(v) => Some(v.clone()),
        })
    }

    fn replace(&self, value: Tensor) {
        let old = locked(self, |state| match state {
            State::Plain(t) => Some(replace(t, value)),
            State::Shared(v) => {
                v.replace(value);
                None
            }
        });
        drop(old);
    }
}
