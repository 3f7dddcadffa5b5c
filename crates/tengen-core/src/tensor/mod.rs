//! Tensors: cheap handles to immutable values, and views of them.

mod make;
mod place;
mod prepared;
mod read;

pub(crate) use prepared::{Form, Prepared};

use crate::autograd::NodeRef;
use crate::device::Far;
use crate::op::Meta;
use crate::shape::{MAX_DIMS, Shape};
use crate::storage::{Inline, Storage};
use crate::{DType, Device, Element, Result};
use std::fmt;
use std::sync::Arc;

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

    /// What tells values apart as long as both live.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
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
