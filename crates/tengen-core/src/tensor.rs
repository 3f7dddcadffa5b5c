//! Tensors: cheap handles to immutable values, and views of them.

mod read;

use crate::autograd::NodeRef;
use crate::cpu::Prepared;
use crate::device::{Far, is_open};
use crate::op::Meta;
use crate::shape::{MAX_DIMS, Shape};
use crate::storage::{Inline, Storage};
use crate::{DType, Device, Element, Result, Scalar, bail, dispatch, ensure};
use bytemuck::Pod;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// A multi-dimensional array. Cloning copies a handle; the value never changes while a handle
/// exists.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, -2.0, 3.0], &[3])?;
/// let y = ops::add(&x, &x)?;
/// assert_eq!(y.to_vec::<f32>()?, [2.0, -4.0, 6.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    inner: Arc<Inner>,
    /// What automatic differentiation knows of this handle.
    pub(crate) node: NodeRef,
}

struct Inner {
    memory: Memory,
    /// Position of the first element in the memory, in elements.
    offset: usize,
    shape: Shape,
    /// In elements.
    strides: [isize; MAX_DIMS],
    dtype: DType,
    device: Device,
    numel: usize,
    contiguous: bool,
    prepared: Prepared,
}

/// Where the elements of a tensor are.
enum Memory {
    /// Here: a value of a few bytes.
    Own(Inline),
    /// In the tensor that this one is a view of, which has them in itself.
    Lent(Arc<Inner>),
    /// In a block of their own, which views share.
    Block(Arc<Storage>),
    /// On a device, in a block that views share.
    Far(Arc<Far>),
    /// Nowhere yet: the graph that is recorded, and the number of the value in it.
    Later { graph: u32, value: u32 },
}

impl Inner {
    /// The memory's address and its size in bytes.
    #[inline]
    fn memory(&self) -> (*mut u8, usize) {
        match &self.memory {
            Memory::Block(block) => (block.ptr(), block.capacity()),
            Memory::Own(bytes) => (bytes.ptr(), Inline::BYTES),
            Memory::Lent(owner) => owner.memory(),
            Memory::Far(far) => (far.ptr(), far.bytes()),
            Memory::Later { .. } => without_memory(),
        }
    }
}

/// Operators are only evaluated on inputs that have values, and what reads elements elsewhere checks.
#[cold]
fn without_memory() -> ! {
    unreachable!("a tensor without a value has no memory")
}

/// Whether elements of such strides lie in row-major order without gaps.
fn is_contiguous(shape: &Shape, strides: &[isize; MAX_DIMS]) -> bool {
    let mut step = 1;
    for d in (0..shape.len()).rev() {
        if shape[d] != 1 && strides[d] != step {
            return shape.contains(&0);
        }
        step *= shape[d] as isize;
    }
    true
}

impl Tensor {
    /// A tensor for an operator to fill. Its bytes are initialised, but to what is unspecified.
    pub(crate) fn empty(shape: Shape, dtype: DType) -> Result<Tensor> {
        let (numel, strides) = (shape.numel(), shape.contiguous_strides());
        let bytes = numel * dtype.size();
        let memory = if bytes <= Inline::BYTES {
            Memory::Own(Inline::new())
        } else {
            Memory::Block(Arc::new(Storage::new(bytes)?))
        };
        let inner = Inner {
            memory,
            offset: 0,
            shape,
            strides,
            dtype,
            device: Device::ANYWHERE,
            numel,
            contiguous: true,
            prepared: Prepared::default(),
        };
        Ok(Tensor { inner: Arc::new(inner), node: NodeRef::NONE })
    }

    /// A tensor that has no value yet: value number `value` of the graph that is recorded under the
    /// number `graph`.
    pub(crate) fn new_later(meta: Meta, graph: u32, value: u32) -> Result<Tensor> {
        let Meta { shape, dtype } = meta;
        let inner = Inner {
            memory: Memory::Later { graph, value },
            offset: 0,
            shape,
            strides: shape.contiguous_strides(),
            dtype,
            device: Device::ANYWHERE,
            numel: shape.numel(),
            contiguous: true,
            prepared: Prepared::default(),
        };
        Ok(Tensor { inner: Arc::new(inner), node: NodeRef::NONE })
    }

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
        if device.is_far() { home.moved_to(device) } else { Ok(home.to_device(device)) }
    }

    /// What tells values apart as long as both live.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// A tensor that stands in a place whose own one is away.
    pub(crate) fn nothing() -> Tensor {
        static NOTHING: LazyLock<Option<Tensor>> =
            LazyLock::new(|| Tensor::empty(Shape::default(), DType::Bool).ok());
        match &*NOTHING {
            Some(t) => t.clone(),
            None => unreachable!("a tensor of one element takes no memory of its own"),
        }
    }

    /// A tensor of zeros (false for bool).
    ///
    /// # Errors
    /// Shape: `shape` is impossible. Memory: it cannot be had.
    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
        let t = Tensor::empty(Shape::new(shape)?, dtype)?;
        // SAFETY: the block is new, so nothing else reads it, and at least this many bytes long;
        // all-zero bytes are a value of every dtype.
        unsafe { t.ptr::<u8>().write_bytes(0, t.numel() * dtype.size()) };
        Ok(t)
    }

    /// A tensor whose elements are all `value`, converted to `dtype` as [`ops::cast`](crate::ops::cast) does.
    ///
    /// # Errors
    /// Shape: `shape` is impossible. Memory: it cannot be had.
    pub fn full(shape: &[usize], value: impl Into<Scalar>, dtype: DType) -> Result<Tensor> {
        let (t, value) = (Tensor::empty(Shape::new(shape)?, dtype)?, value.into());
        dispatch!(dtype, T => {
            let (p, v) = (t.ptr::<T>(), value.to::<T>());
            for i in 0..t.numel() {
                // SAFETY: the block is new and holds `numel` elements.
                unsafe { p.add(i).write(v) };
            }
        });
        Ok(t)
    }

    /// A tensor of ones.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn ones(shape: &[usize], dtype: DType) -> Result<Tensor> {
        Tensor::full(shape, 1.0, dtype)
    }

    /// A tensor without dimensions.
    ///
    /// # Errors
    /// Memory: it cannot be had.
    pub fn scalar<T: Element>(value: T) -> Result<Tensor> {
        Tensor::from_slice(&[value], &[])
    }

    /// A tensor of the given shape with a copy of `data`, in row-major order.
    ///
    /// # Errors
    /// Shape: `shape` is impossible or has not `data.len()` elements. Memory: it cannot be had.
    pub fn from_slice<T: Element>(data: &[T], shape: &[usize]) -> Result<Tensor> {
        let shape = Shape::new(shape)?;
        ensure!(
            shape.numel() == data.len(),
            Shape,
            "shape {shape} has {} elements, but {} were given",
            shape.numel(),
            data.len()
        );
        let t = Tensor::empty(shape, T::DTYPE)?;
        // SAFETY: the block is new and holds `data.len()` elements of `T`.
        unsafe { t.ptr::<T>().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(t)
    }

    /// A tensor from little-endian bytes in row-major order; bool bytes other than 0 count as true.
    ///
    /// # Errors
    /// Shape: `shape` is impossible or `bytes` has not its size. Memory: it cannot be had.
    pub fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
        let shape = Shape::new(shape)?;
        ensure!(
            bytes.len() == shape.numel() * dtype.size(),
            Shape,
            "shape {shape} of {dtype} takes {} bytes, but {} were given",
            shape.numel() * dtype.size(),
            bytes.len()
        );
        let t = Tensor::empty(shape, dtype)?;
        if dtype == DType::Bool {
            for (i, b) in bytes.iter().enumerate() {
                // SAFETY: the block is new and holds one byte per element.
                unsafe { t.ptr::<bool>().add(i).write(*b != 0) };
            }
        } else {
            // SAFETY: the block is new and this long; all bytes are values of number dtypes.
            unsafe { t.ptr::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Ok(t)
    }

    /// The elements of a contiguous tensor.
    ///
    /// # Errors
    /// DType: `T` is not this tensor's element type. Value: it is a view that is not contiguous.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.expect_dtype(T::DTYPE)?;
        self.expect_value()?;
        ensure!(self.is_contiguous(), Value, "as_slice: {self} is not contiguous");
        // SAFETY: a contiguous tensor has `numel` elements at its pointer, of the checked dtype.
        Ok(unsafe { std::slice::from_raw_parts(self.ptr::<T>(), self.numel()) })
    }

    /// The elements, to write to. A tensor that is shared or not contiguous is copied first, so no
    /// other handle ever sees the change.
    ///
    /// # Errors
    /// DType: `T` is not this tensor's element type. Memory: a copy cannot be had.
    pub fn as_mut_slice<T: Element + Pod>(&mut self) -> Result<&mut [T]> {
        self.expect_dtype(T::DTYPE)?;
        self.make_unique()?;
        // SAFETY: now contiguous and unshared; all bytes are initialised and valid for a Pod.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.ptr::<T>(), self.numel()) })
    }

    /// Copies the value unless this is its only handle and it is contiguous.
    pub(crate) fn make_unique(&mut self) -> Result<()> {
        let alone = Arc::get_mut(&mut self.inner).is_some_and(|inner| {
            inner.prepared.clear();
            inner.contiguous
                && match &mut inner.memory {
                    Memory::Own(_) => true,
                    Memory::Lent(_) | Memory::Later { .. } => false,
                    Memory::Block(block) => Arc::get_mut(block).is_some(),
                    Memory::Far(far) => Arc::get_mut(far).is_some(),
                }
        });
        if !alone {
            *self = self.copy()?;
        }
        Ok(())
    }

    /// A contiguous tensor of the same value in memory of its own.
    pub(crate) fn copy(&self) -> Result<Tensor> {
        self.expect_value()?;
        let t = Tensor::empty(*self.shape(), self.dtype())?;
        crate::cpu::copy_into(self, &t);
        Ok(t.to_device(self.device()))
    }

    /// The same value, contiguous in memory; this handle's own memory if it already is.
    ///
    /// # Errors
    /// Memory: the copy cannot be had.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        if !self.is_here() && !is_open() {
            return crate::ops::view::contiguous(self);
        }
        let mut t = self.copy()?;
        t.node = self.node;
        Ok(t)
    }

    /// A view of this tensor's memory.
    ///
    /// # Safety
    /// Every index of `shape` must be an element of this tensor's memory.
    pub(crate) unsafe fn view(
        &self,
        shape: Shape,
        strides: [isize; MAX_DIMS],
        offset: usize,
    ) -> Tensor {
        let contiguous = is_contiguous(&shape, &strides);
        let numel = shape.numel();
        let memory = match &self.inner.memory {
            Memory::Own(_) => Memory::Lent(self.inner.clone()),
            Memory::Lent(owner) => Memory::Lent(owner.clone()),
            Memory::Block(block) => Memory::Block(block.clone()),
            Memory::Far(far) => Memory::Far(far.clone()),
            Memory::Later { graph, value } => Memory::Later { graph: *graph, value: *value },
        };
        let inner = Inner {
            memory,
            // Nothing starts at the start: an empty view's place may lie beyond the memory.
            offset: if numel == 0 { 0 } else { offset },
            shape,
            strides,
            dtype: self.inner.dtype,
            device: self.inner.device,
            numel,
            contiguous,
            prepared: Prepared::default(),
        };
        Tensor { inner: Arc::new(inner), node: NodeRef::NONE }
    }

    /// The address of the first element. Reading is allowed for the elements that shape and
    /// strides name, writing only to a tensor that no one else has seen yet.
    #[inline]
    pub(crate) fn ptr<T: Element>(&self) -> *mut T {
        debug_assert!(T::DTYPE == self.inner.dtype || size_of::<T>() == 1);
        let bytes = self.inner.offset * self.inner.dtype.size();
        let (start, size) = self.inner.memory();
        debug_assert!(bytes <= size);
        // SAFETY: the offset is within the memory, by construction and `view`'s contract.
        unsafe { start.add(bytes) }.cast()
    }

    /// Another form of the value, kept for operators that use it again and again.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.inner.prepared
    }

    /// Position of the first element in the memory, in elements.
    pub(crate) fn offset(&self) -> usize {
        self.inner.offset
    }

    /// Shape and dtype.
    pub fn meta(&self) -> Meta {
        Meta { shape: self.inner.shape, dtype: self.inner.dtype }
    }

    /// Extents, outermost first.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    /// Distance between neighbours along each axis, in elements.
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.inner.strides[..self.inner.shape.len()]
    }

    /// Number of dimensions.
    #[inline]
    pub fn ndim(&self) -> usize {
        self.inner.shape.len()
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.inner.numel
    }

    /// Element type.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    /// Where the tensor lives: where it was placed, or where the inputs of its operator live.
    #[inline]
    pub fn device(&self) -> Device {
        self.inner.device
    }

    /// The same value under another name of the host. Gradients flow through.
    pub(crate) fn to_device(mut self, device: Device) -> Tensor {
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

    /// Whether the elements lie in row-major order without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.inner.contiguous
    }

    /// The same value, unknown to automatic differentiation: no gradient flows through this
    /// handle.
    pub fn detach(&self) -> Tensor {
        Tensor { inner: self.inner.clone(), node: NodeRef::NONE }
    }

    fn expect_dtype(&self, wanted: DType) -> Result<()> {
        if wanted != self.dtype() {
            bail!(DType, "elements of {self} cannot be read as {wanted}");
        }
        Ok(())
    }
}

impl fmt::Display for Tensor {
    /// Dtype and shape, as error messages use them: `f32[2, 3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype(), self.shape())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({self}")?;
        if self.numel() <= 64
            && let Ok(v) = self.to_f64_vec()
        {
            write!(f, ", {v:?}")?;
        }
        f.write_str(")")
    }
}
