//! What an operator is: plain data, with rules for shapes and gradients.

mod attributes;
mod described;
mod table;

pub use attributes::{
    Attribute, Attributes, FromAttributes, Reader, Value, from_record, from_variant, record,
    variant,
};
pub use described::Described;
pub(crate) use described::describe;
pub use table::{Entry, Table};
pub use tengen_derive::Attributes;

use crate::autograd::Gradient;
use crate::shape::Shape;
use crate::{DType, Result, Tensor, bail};
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// Which tensors an operator's gradient reads; what it does not read is freed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves {
    /// Bit `k`: input `k`; the last bit stands for all from there on.
    pub inputs: u32,
    /// Bit `k`: result `k`, likewise.
    pub outputs: u32,
}

impl Saves {
    /// Shapes and dtypes only.
    pub const NOTHING: Saves = Saves { inputs: 0, outputs: 0 };
    /// All inputs.
    pub const INPUTS: Saves = Saves { inputs: u32::MAX, outputs: 0 };
    /// The results.
    pub const OUTPUTS: Saves = Saves { inputs: 0, outputs: u32::MAX };

    pub(crate) fn input(self, k: usize) -> bool {
        self.inputs >> k.min(31) & 1 == 1
    }

    pub(crate) fn output(self, k: usize) -> bool {
        self.outputs >> k.min(31) & 1 == 1
    }
}

/// An operator: a struct whose fields are its attributes, which `#[derive(Attributes)]` lists.
///
/// Here stands what can be said without looking at values; [`Eval`] computes them. Two operators are
/// equal if name and attributes are.
pub trait Op: Attributes + Eval + Send + Sync + 'static {
    /// The name, in messages and files.
    fn name(&self) -> &'static str;

    /// Whether it takes so many inputs.
    fn takes(&self, inputs: usize) -> bool {
        inputs == 1
    }

    /// The dtype that all inputs are converted to first, if any.
    fn promote(&self, inputs: &[&Described]) -> Result<Option<DType>> {
        let _ = inputs;
        Ok(None)
    }

    /// Shapes and dtypes of the results for inputs as many as it takes. The only place where shapes,
    /// dtypes and attributes are checked.
    fn infer(&self, inputs: &[&Described]) -> Result<Metas>;

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

    /// The same in other operators, for one that computes at once what several could.
    fn expand(&self, inputs: &[&Tensor]) -> Option<Result<Tensors>> {
        let _ = inputs;
        None
    }

    /// Whether its gradient is that of its expansion, which then runs in its place where gradients
    /// are recorded.
    fn differentiates_expanded(&self) -> bool {
        false
    }
}

/// How the CPU computes an operator's results.
pub trait Eval {
    /// The results for inputs that have values; `out` is what [`Op::infer`] said. Values, such as
    /// labels and indices, are checked here.
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors>;

    /// [`Eval::eval`] that may write to the memory of an input, where nothing else holds it. After an
    /// error the inputs are as they were.
    fn eval_in_place(&self, inputs: &mut [Tensor], out: &[Meta]) -> Result<Tensors> {
        self.eval(&inputs.iter().collect::<SmallVec<[&Tensor; 4]>>(), out)
    }
}

impl PartialEq for dyn Op {
    fn eq(&self, other: &dyn Op) -> bool {
        self.name() == other.name() && self.attributes() == other.attributes()
    }
}

impl Eq for dyn Op {}

impl Hash for dyn Op {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
        self.attributes().hash(state);
    }
}

impl fmt::Display for dyn Op {
    /// The name, with attributes where it has some: `leaky_relu(slope: 0.1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (i, (name, value)) in self.attributes().into_iter().enumerate() {
            write!(f, "{}{name}: {value}", if i == 0 { "(" } else { ", " })?;
        }
        f.write_str(if self.attributes().is_empty() { "" } else { ")" })
    }
}

impl fmt::Debug for dyn Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An operator that a tape and a graph share.
impl Op for Arc<dyn Op> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn takes(&self, inputs: usize) -> bool {
        (**self).takes(inputs)
    }
    fn promote(&self, inputs: &[&Described]) -> Result<Option<DType>> {
        (**self).promote(inputs)
    }
    fn infer(&self, inputs: &[&Described]) -> Result<Metas> {
        (**self).infer(inputs)
    }
    fn saves(&self, dtype: DType) -> Saves {
        (**self).saves(dtype)
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        (**self).grad(g)
    }
    fn expand(&self, inputs: &[&Tensor]) -> Option<Result<Tensors>> {
        (**self).expand(inputs)
    }
    fn differentiates_expanded(&self) -> bool {
        (**self).differentiates_expanded()
    }
}

impl Attributes for Arc<dyn Op> {
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        (**self).attributes()
    }
}

impl Eval for Arc<dyn Op> {
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        (**self).eval(inputs, out)
    }
    fn eval_in_place(&self, inputs: &mut [Tensor], out: &[Meta]) -> Result<Tensors> {
        (**self).eval_in_place(inputs, out)
    }
}
