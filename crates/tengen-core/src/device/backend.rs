//! What a device other than the host has to do, and which of them there are.

use super::Device;
use crate::op::{Meta, Op, Tensors};
use crate::{Result, Tensor, bail};
use std::sync::{Arc, PoisonError, RwLock};

/// How a device computes an operator: its inputs are on the device, or values of a few bytes that
/// come along; its results are to be on it, too.
pub type Kernel = fn(&dyn Op, &[&Tensor], &[Meta]) -> Result<Tensors>;

/// A device with memory of its own: it gives and takes blocks of that memory, copies from and to the
/// host, and has a table of the operators that it computes.
///
/// What a table lacks is computed by the operator's expansion; where there is none, that is an error
/// that names operator and device.
pub trait Backend: Send + Sync + 'static {
    /// The device's name.
    fn name(&self) -> &'static str;

    /// The address of new memory of so many bytes, all initialised.
    ///
    /// # Errors
    /// Memory: there is no more.
    fn allocate(&self, bytes: usize) -> Result<usize>;

    /// Takes memory back.
    ///
    /// # Safety
    /// It came from [`Backend::allocate`] with as many bytes, and nothing reads or writes it any more.
    unsafe fn free(&self, address: usize, bytes: usize);

    /// Copies from the host.
    ///
    /// # Safety
    /// `to` lies in memory of this device with at least as many bytes from there on, which nothing
    /// else reads or writes.
    unsafe fn upload(&self, from: &[u8], to: usize);

    /// Copies to the host.
    ///
    /// # Safety
    /// `from` lies in memory of this device with at least as many bytes from there on, which nothing
    /// writes.
    unsafe fn download(&self, from: usize, to: &mut [u8]);

    /// How an operator is computed, if it is in the table.
    fn kernel(&self, operator: &str) -> Option<Kernel>;

    /// Runs a kernel of this device.
    ///
    /// # Errors
    /// What the kernel finds.
    fn run(
        &self,
        kernel: Kernel,
        op: &dyn Op,
        inputs: &[&Tensor],
        out: &[Meta],
    ) -> Result<Tensors> {
        kernel(op, inputs, out)
    }
}

static BACKENDS: RwLock<Vec<Arc<dyn Backend>>> = RwLock::new(Vec::new());

/// Adds a device to those that there are.
///
/// # Errors
/// Device: there are 255 of them already.
pub fn register(backend: Arc<dyn Backend>) -> Result<Device> {
    let mut all = BACKENDS.write().unwrap_or_else(PoisonError::into_inner);
    let Ok(number) = u8::try_from(all.len()) else {
        bail!(Device, "{}: there are too many devices", backend.name())
    };
    all.push(backend);
    Ok(Device::far(number))
}

/// The backend of a device with memory of its own.
pub(super) fn backend(number: u8) -> Option<Arc<dyn Backend>> {
    BACKENDS.read().unwrap_or_else(PoisonError::into_inner).get(number as usize).cloned()
}

/// Memory of a device, which goes back to it in the end.
pub(crate) struct Far {
    backend: Arc<dyn Backend>,
    address: usize,
    bytes: usize,
}

impl Far {
    pub(crate) fn new(device: Device, bytes: usize) -> Result<Far> {
        let Some(backend) = device.backend() else {
            bail!(Device, "{device} has no memory of its own")
        };
        let address = backend.allocate(bytes)?;
        Ok(Far { backend, address, bytes })
    }

    /// Where it starts, as the device sees it.
    pub(crate) fn ptr(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Fills new memory from the host; `from` has as many bytes or fewer.
    pub(crate) fn fill(&mut self, from: &[u8]) {
        let from = &from[..from.len().min(self.bytes)];
        // SAFETY: the block has these bytes, and `&mut` says that no one else has it.
        unsafe { self.backend.upload(from, self.address) };
    }

    /// Copies bytes from `start` on to the host.
    pub(crate) fn read(&self, start: usize, to: &mut [u8]) -> Result<()> {
        if start.checked_add(to.len()).is_none_or(|end| end > self.bytes) {
            bail!(
                Device,
                "{} bytes from {start} on are not in a block of {}",
                to.len(),
                self.bytes
            );
        }
        // SAFETY: just checked; blocks that are shared are not written.
        unsafe { self.backend.download(self.address + start, to) };
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // SAFETY: the block came from this backend, and with it the last reference goes.
        unsafe { self.backend.free(self.address, self.bytes) };
    }
}
