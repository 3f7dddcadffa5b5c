//! What a Python tensor holds.

use crate::tensor::PyTensor;
use pyo3::Bound;
use pyo3::sync::critical_section::with_critical_section;
use std::cell::UnsafeCell;
use std::mem::replace;
use tengen::{Tensor, Var};

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
