//! What an operator is.

use crate::autograd::Gradient;
use crate::shape::Shape;
use crate::{DType, Result, Tensor, bail};
use smallvec::SmallVec;

/// Results of an operator.
pub type Tensors = SmallVec<[Tensor; 1]>;
/// Gradients to an operator's inputs, in order; none where an input gets no gradient.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;
/// Shapes and dtypes of an operator's results.
pub type Metas = SmallVec<[Meta; 1]>;

/// Shape and dtype of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Extents.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
}

impl Meta {
    /// The one result of this shape and dtype.
    pub fn one(shape: Shape, dtype: DType) -> Metas {
        smallvec::smallvec![Meta { shape, dtype }]
    }
}

/// Which tensors an operator's gradient reads; what it does not read is freed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves {
    /// Bit `k`: input `k`.
    pub inputs: u32,
    /// Whether it reads the results.
    pub outputs: bool,
}

impl Saves {
    /// Shapes and dtypes only.
    pub const NOTHING: Saves = Saves { inputs: 0, outputs: false };
    /// All inputs.
    pub const INPUTS: Saves = Saves { inputs: u32::MAX, outputs: false };
    /// The results.
    pub const OUTPUTS: Saves = Saves { inputs: 0, outputs: true };
}

/// An operator with its attributes: inference, evaluation and gradient in one place.
pub trait Op: 'static {
    /// The name that error messages use.
    fn name(&self) -> &'static str;

    /// The dtype that all inputs are converted to first, if any.
    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
        let _ = inputs;
        Ok(None)
    }

    /// Shapes and dtypes of the results. The only place where inputs and attributes are checked.
    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas>;

    /// Computes the results on the CPU; `out` is what [`Op::infer`] said.
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors>;

    /// Which tensors [`Op::grad`] reads, where the first result is of `dtype`.
    fn saves(&self, dtype: DType) -> Saves {
        let _ = dtype;
        Saves::INPUTS
    }

    /// The gradients to the inputs. Written with operators, so that it can be differentiated
    /// again.
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let _ = g;
        bail!(Unsupported, "{}: this operator has no gradient", self.name())
    }
}
