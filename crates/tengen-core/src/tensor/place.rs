//! Where a tensor's value is: in the host's memory, on another device, or nowhere yet.

use super::{Inner, Memory, Prepared, Tensor};
use crate::autograd::NodeRef;
use crate::device::{Far, is_open};
use crate::{Device, Result, bail, ensure};
use std::sync::Arc;

impl Tensor {
    /// The graph that a tensor without a value belongs to, and its number in it.
    pub(crate) fn later(&self) -> Option<(u32, u32)> {
        match self.inner.memory {
            Memory::Later { graph, value } => Some((graph, value)),
            _ => None,
        }
    }

    /// Whether the value will only be known when the graph that is being recorded runs; see
    /// [`Graph::record`](crate::graph::Graph::record).
    #[inline]
    pub fn is_later(&self) -> bool {
        matches!(self.inner.memory, Memory::Later { .. })
    }

    /// Whether the value is on a device with memory of its own.
    #[inline]
    pub(crate) fn is_far(&self) -> bool {
        matches!(self.inner.memory, Memory::Far(_))
    }

    /// Whether the value is in the host's memory.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self.inner.memory, Memory::Far(_) | Memory::Later { .. })
    }

    /// Whether the value lives in the handle, and so comes along to other devices.
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.inner.memory, Memory::Own(_) | Memory::Lent(_))
    }

    /// Checks that there are elements to read.
    #[inline]
    pub(crate) fn expect_value(&self) -> Result<()> {
        if self.is_here() { Ok(()) } else { self.elsewhere() }
    }

    #[cold]
    fn elsewhere(&self) -> Result<()> {
        if self.is_later() {
            bail!(
                Value,
                "{self} has no value yet: it is known only when the graph that is recorded runs"
            );
        }
        let device = self.device();
        ensure!(is_open(), Device, "the elements of {self} are on {device}; copy them with to()");
        Ok(())
    }

    /// The same value in memory of `device`; where it is in that already, this handle's own.
    pub(crate) fn moved_to(&self, device: Device) -> Result<Tensor> {
        if !self.is_here() {
            return Ok(self.clone());
        }
        let t = self.contiguous()?;
        let mut far = Far::new(device, t.numel() * t.dtype().size())?;
        // SAFETY: a contiguous tensor has so many bytes at its pointer, all initialised.
        far.fill(unsafe {
            std::slice::from_raw_parts(t.ptr::<u8>(), t.numel() * t.dtype().size())
        });
        let inner = Inner {
            memory: Memory::Far(Arc::new(far)),
            offset: 0,
            shape: t.inner.shape,
            strides: t.inner.shape.contiguous_strides(),
            dtype: t.inner.dtype,
            device,
            numel: t.inner.numel,
            contiguous: true,
            prepared: Prepared::default(),
        };
        Ok(Tensor { inner: Arc::new(inner), node: NodeRef::NONE })
    }

    /// The same value on another device: a copy, where one of the two has memory of its own, to which
    /// no gradient flows; else the same memory under another name.
    ///
    /// # Errors
    /// Memory: the copy cannot be had. Value: there is no value yet.
    pub fn to(&self, device: Device) -> Result<Tensor> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let home = match &self.inner.memory {
            Memory::Far(_) => {
                // A device's own operator makes what it is asked for contiguous.
                let t = self.contiguous()?;
                let host = Tensor::empty(*t.shape(), t.dtype())?;
                if let Memory::Far(far) = &t.inner.memory {
                    let size = t.dtype().size();
                    // SAFETY: the tensor is new, and has as many bytes.
                    let bytes = unsafe {
                        std::slice::from_raw_parts_mut(host.ptr::<u8>(), t.numel() * size)
                    };
                    far.read(t.offset() * size, bytes)?;
                }
                host
            }
            _ => self.clone(),
        };
        if device.is_far() { home.moved_to(device) } else { Ok(home.named(device)) }
    }

    /// The same value under another name of the host. Gradients flow through.
    pub(crate) fn named(mut self, device: Device) -> Tensor {
        if self.inner.device == device || device.is_far() || self.is_far() {
            return self;
        }
        if Arc::get_mut(&mut self.inner).is_none() {
            // SAFETY: these are the elements of this tensor.
            let view =
                unsafe { self.view(self.inner.shape, self.inner.strides, self.inner.offset) };
            self = Tensor { node: self.node, ..view };
        }
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.device = device;
        }
        self
    }
}
