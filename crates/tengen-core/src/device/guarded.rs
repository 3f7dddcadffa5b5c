//! A device that proves that others can be had: its memory is a mapping that the host cannot touch
//! except while one of its operators runs, so that a forgotten copy is a fault at once. It computes
//! with the CPU's evaluations.

use super::Device;
use super::backend::{Backend, Kernel, register};
use crate::op::{Meta, Op, Table, Tensors};
use crate::{Error, ErrorKind, Result, Tensor};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blocks start at such addresses.
const ALIGN: usize = 64;
/// Bytes of the mapping.
const SIZE: usize = 1 << 30;

thread_local! {
    /// Whether this thread runs an operator of the device.
    static OPEN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs an operator of a guarded device, which may touch its memory.
pub(super) fn is_open() -> bool {
    OPEN.get()
}

/// The device for tests of other devices' seam: see [`Guarded::register`].
pub struct Guarded {
    start: usize,
    missing: BTreeSet<&'static str>,
    state: Mutex<State>,
    uploads: AtomicUsize,
    downloads: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Bytes that have ever been in use.
    used: usize,
    /// Free blocks by their size.
    free: BTreeMap<usize, Vec<usize>>,
    /// How many operators and copies run.
    running: usize,
}

impl Guarded {
    /// A new device of this kind, which computes all operators but `missing`.
    ///
    /// ```
    /// use tengen_core::{Device, Tensor, device::Guarded, ops};
    /// let (device, guarded) = Guarded::register(&[])?;
    /// let x = Tensor::from_slice(&[1.0f32, -2.0], &[2])?.to(device)?;
    /// let y = ops::relu(&x)?;
    /// assert!(y.to_vec::<f32>().is_err());
    /// assert_eq!(y.to(Device::default())?.to_vec::<f32>()?, [1.0, 0.0]);
    /// assert_eq!(guarded.transfers(), (1, 1));
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Memory: there is no room for its mapping. Device: there are too many devices.
    pub fn register(missing: &[&'static str]) -> Result<(Device, Arc<Guarded>)> {
        let (access, kind) =
            (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE);
        // SAFETY: a new private mapping touches no other memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::new(ErrorKind::Memory, "guarded: no room for the device's memory"));
        }
        let guarded = Arc::new(Guarded {
            start: start.expose_provenance(),
            missing: missing.iter().copied().collect(),
            state: Mutex::default(),
            uploads: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
        });
        Ok((register(guarded.clone())?, guarded))
    }

    /// How often a tensor was copied to the device and back.
    pub fn transfers(&self) -> (usize, usize) {
        (self.uploads.load(Ordering::Relaxed), self.downloads.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the host touch what is in use, or no longer.
    fn protect(&self, state: &State, access: libc::c_int) {
        let len = state.used.next_multiple_of(1 << 16);
        // SAFETY: the range is the beginning of this device's mapping.
        let failed = unsafe {
            libc::mprotect(std::ptr::with_exposed_provenance_mut(self.start), len, access)
        };
        debug_assert_eq!(failed, 0);
    }

    /// Runs `f` while the host may touch the device's memory.
    fn open<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Closes it again, whatever happens.
        struct Close<'a>(&'a Guarded, bool);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                OPEN.set(self.1);
                let mut state = self.0.lock();
                state.running -= 1;
                if state.running == 0 {
                    self.0.protect(&state, libc::PROT_NONE);
                }
            }
        }
        let mut state = self.lock();
        state.running += 1;
        // What was allocated since the last operator began is opened, too.
        self.protect(&state, libc::PROT_READ | libc::PROT_WRITE);
        drop(state);
        let _close = Close(self, OPEN.replace(true));
        f()
    }
}

/// The CPU's evaluation; what it puts in the host's memory is moved.
fn on_cpu(op: &dyn Op, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
    op.eval(inputs, out)
}

impl Backend for Guarded {
    fn name(&self) -> &'static str {
        "guarded"
    }

    fn allocate(&self, bytes: usize) -> Result<usize> {
        let bytes = bytes.max(1).next_multiple_of(ALIGN);
        let mut state = self.lock();
        if let Some(at) = state.free.get_mut(&bytes).and_then(Vec::pop) {
            return Ok(at);
        }
        if bytes > SIZE - state.used {
            return Err(Error::new(
                ErrorKind::Memory,
                format!(
                    "guarded: {bytes} bytes cannot be had ({} of {SIZE} are in use)",
                    state.used
                ),
            ));
        }
        let at = self.start + state.used;
        state.used += bytes;
        if state.running > 0 {
            self.protect(&state, libc::PROT_READ | libc::PROT_WRITE);
        }
        Ok(at)
    }

    unsafe fn free(&self, address: usize, bytes: usize) {
        let bytes = bytes.max(1).next_multiple_of(ALIGN);
        self.lock().free.entry(bytes).or_default().push(address);
    }

    unsafe fn upload(&self, from: &[u8], to: usize) {
        if !is_open() {
            self.uploads.fetch_add(1, Ordering::Relaxed);
        }
        self.open(|| {
            let to = std::ptr::with_exposed_provenance_mut::<u8>(to);
            // SAFETY: by the contract of `Backend::upload` these bytes are the device's and no one
            // else's, and the mapping is open.
            unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        });
    }

    unsafe fn download(&self, from: usize, to: &mut [u8]) {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        self.open(|| {
            let from = std::ptr::with_exposed_provenance::<u8>(from);
            // SAFETY: by the contract of `Backend::download` these bytes are the device's and not
            // written, and the mapping is open.
            unsafe { to.as_mut_ptr().copy_from_nonoverlapping(from, to.len()) };
        });
    }

    fn kernel(&self, operator: &str) -> Option<Kernel> {
        let known = Table::all().has(operator) && !self.missing.contains(operator);
        known.then_some(on_cpu as Kernel)
    }

    fn run(
        &self,
        kernel: Kernel,
        op: &dyn Op,
        inputs: &[&Tensor],
        out: &[Meta],
    ) -> Result<Tensors> {
        let device = inputs.iter().map(|x| x.device()).find(|d| d.is_far());
        self.open(|| {
            let results = kernel(op, inputs, out)?;
            match device {
                Some(device) => results.iter().map(|t| t.moved_to(device)).collect(),
                None => Ok(results),
            }
        })
    }
}
