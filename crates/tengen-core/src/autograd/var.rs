//! Variables: cells that hold a tensor, so that a value can be replaced where it is used.

use super::tape;
use crate::{Result, Tensor, ensure};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// A shared cell with a tensor and its gradient. Clones are the same variable.
///
/// ```
/// use tengen_core::{Tensor, Var};
/// let w = Var::new(Tensor::from_slice(&[1.0f32], &[1])?);
/// let same = w.clone();
/// same.set(Tensor::from_slice(&[2.0f32], &[1])?)?;
/// assert_eq!(w.get().to_vec::<f32>()?, [2.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Var(Arc<Inner>);

struct Inner {
    /// What no other variable has or had: an address would name the next variable there too.
    id: u64,
    value: RwLock<Tensor>,
    grad: RwLock<Option<Var>>,
    /// How many managers have this variable attached.
    attached: AtomicUsize,
}

/// A variable that does not keep it alive.
#[derive(Clone)]
pub(crate) struct WeakVar(Weak<Inner>);

impl WeakVar {
    pub(crate) fn get(&self) -> Option<Var> {
        self.0.upgrade().map(Var)
    }
}

impl Var {
    /// A variable with this value.
    pub fn new(value: Tensor) -> Var {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Var(Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            value: RwLock::new(value),
            grad: RwLock::new(None),
            attached: AtomicUsize::new(0),
        }))
    }

    /// The value. While a manager of this thread records and has the variable attached, operators
    /// on it are recorded.
    #[inline]
    pub fn get(&self) -> Tensor {
        let mut value = self.0.value.read().unwrap_or_else(PoisonError::into_inner).clone();
        if self.0.attached.load(Ordering::Relaxed) != 0 && !tape::is_tracked(&value) {
            value.node = tape::leaf(self.id());
        }
        value
    }

    /// Looks at the value without taking a handle.
    pub fn with<R>(&self, f: impl FnOnce(&Tensor) -> R) -> R {
        f(&self.0.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the value; shape and dtype may change.
    pub fn replace(&self, value: Tensor) {
        *self.0.value.write().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Replaces the value by one of the same shape.
    ///
    /// # Errors
    /// Shape: the shapes differ.
    pub fn set(&self, value: Tensor) -> Result<()> {
        let mut slot = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            slot.shape() == value.shape(),
            Shape,
            "a value of shape {} cannot replace one of shape {}",
            value.shape(),
            slot.shape()
        );
        *slot = value.detach();
        Ok(())
    }

    /// Changes the value in place: `f` gets the only handle if no one else holds one, so that it
    /// can write without a copy. What it does is recorded as it is for [`Var::get`]. A failing `f` may leave a partial change only if it wrote one.
    /// The variable is locked meanwhile: `f` must reach its value by its argument alone, and wait
    /// for no thread that uses the variable.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn update<R>(&self, f: impl FnOnce(&mut Tensor) -> Result<R>) -> Result<R> {
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if self.0.attached.load(Ordering::Relaxed) != 0 && !tape::is_tracked(&value) {
            value.node = tape::leaf(self.id());
        }
        f(&mut value)
    }

    /// The gradient, if one was computed since it was last cleared.
    pub fn grad(&self) -> Option<Var> {
        self.0.grad.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces or clears the gradient.
    pub fn set_grad(&self, grad: Option<Var>) {
        *self.0.grad.write().unwrap_or_else(PoisonError::into_inner) = grad;
    }

    /// Whether `self` and `other` are the same variable.
    pub fn is(&self, other: &Var) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number that no other variable of this process has or had.
    #[inline]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn downgrade(&self) -> WeakVar {
        WeakVar(Arc::downgrade(&self.0))
    }

    pub(crate) fn attach(&self) {
        self.0.attached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        self.0.attached.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Var({:?})", self.0.value.read().unwrap_or_else(PoisonError::into_inner))
    }
}
