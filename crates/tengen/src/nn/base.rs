//! What every module carries besides its fields: mode, flags and hooks.

use super::module::Module;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use tengen_core::{Result, Tensor};

/// Called before `forward` with the module and its inputs; what it returns, if anything, takes the
/// inputs' place.
pub type ForwardPreHook =
    dyn Fn(&dyn Module, &[Tensor]) -> Result<Option<Vec<Tensor>>> + Send + Sync;
/// Called after `forward` with the module, its inputs and its outputs; what it returns, if
/// anything, takes the outputs' place.
pub type ForwardHook =
    dyn Fn(&dyn Module, &[Tensor], &[Tensor]) -> Result<Option<Vec<Tensor>>> + Send + Sync;

/// A module's mode, flags and hooks. Layers have one as a field; a struct that derives
/// [`Module`] without one keeps its own with its first field.
#[derive(Clone)]
pub struct Base(Arc<Inner>);

struct Inner {
    training: AtomicBool,
    quantize_disabled: AtomicBool,
    hooked: AtomicBool,
    next_hook: AtomicU64,
    pre_hooks: RwLock<Vec<(u64, Arc<ForwardPreHook>)>>,
    hooks: RwLock<Vec<(u64, Arc<ForwardHook>)>>,
    /// The state of the module whose first field this is.
    owner: OnceLock<Base>,
}

impl Default for Base {
    fn default() -> Self {
        Base::new()
    }
}

impl Base {
    /// The state of a new module: training, without hooks.
    pub fn new() -> Base {
        Base(Arc::new(Inner {
            training: AtomicBool::new(true),
            quantize_disabled: AtomicBool::new(false),
            hooked: AtomicBool::new(false),
            next_hook: AtomicU64::new(0),
            pre_hooks: RwLock::default(),
            hooks: RwLock::default(),
            owner: OnceLock::new(),
        }))
    }

    /// The state of the module whose first field has this state.
    #[doc(hidden)]
    pub fn owner(&self) -> &Base {
        self.0.owner.get_or_init(Base::new)
    }

    /// Whether the module is in training mode.
    pub fn training(&self) -> bool {
        self.0.training.load(Ordering::Relaxed)
    }

    pub(super) fn set_training(&self, mode: bool) {
        self.0.training.store(mode, Ordering::Relaxed);
    }

    pub(super) fn quantize_disabled(&self) -> bool {
        self.0.quantize_disabled.load(Ordering::Relaxed)
    }

    pub(super) fn set_quantize_disabled(&self, value: bool) {
        self.0.quantize_disabled.store(value, Ordering::Relaxed);
    }

    pub(super) fn add_pre_hook(&self, hook: Arc<ForwardPreHook>) -> HookHandle {
        let id = self.0.next_hook.fetch_add(1, Ordering::Relaxed);
        self.0.pre_hooks.write().unwrap_or_else(PoisonError::into_inner).push((id, hook));
        self.0.hooked.store(true, Ordering::Release);
        HookHandle { base: Arc::downgrade(&self.0), id }
    }

    pub(super) fn add_hook(&self, hook: Arc<ForwardHook>) -> HookHandle {
        let id = self.0.next_hook.fetch_add(1, Ordering::Relaxed);
        self.0.hooks.write().unwrap_or_else(PoisonError::into_inner).push((id, hook));
        self.0.hooked.store(true, Ordering::Release);
        HookHandle { base: Arc::downgrade(&self.0), id }
    }

    pub(super) fn has_hooks(&self) -> bool {
        self.0.hooked.load(Ordering::Acquire)
    }

    /// The hooks in order of registration; hooks may add and remove hooks while they run.
    pub(super) fn pre_hooks(&self) -> Vec<Arc<ForwardPreHook>> {
        let hooks = self.0.pre_hooks.read().unwrap_or_else(PoisonError::into_inner);
        hooks.iter().map(|(_, h)| h.clone()).collect()
    }

    pub(super) fn hooks(&self) -> Vec<Arc<ForwardHook>> {
        let hooks = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner);
        hooks.iter().map(|(_, h)| h.clone()).collect()
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base {{ training: {} }}", self.training())
    }
}

/// What takes a hook off again. Dropping it leaves the hook on.
#[derive(Clone)]
pub struct HookHandle {
    base: Weak<Inner>,
    id: u64,
}

impl HookHandle {
    /// Takes the hook off; a second time does nothing.
    pub fn remove(&self) {
        let Some(inner) = self.base.upgrade() else { return };
        let mut pre = inner.pre_hooks.write().unwrap_or_else(PoisonError::into_inner);
        let mut post = inner.hooks.write().unwrap_or_else(PoisonError::into_inner);
        pre.retain(|(id, _)| *id != self.id);
        post.retain(|(id, _)| *id != self.id);
        if pre.is_empty() && post.is_empty() {
            inner.hooked.store(false, Ordering::Release);
        }
    }
}
