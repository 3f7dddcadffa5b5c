//! Elementwise operators: a formula, its derivative, and all that follows from the two.

mod int;
mod symbolic;

pub use int::Int;

use super::{neg, sum_to};
use crate::autograd::Gradient;
use crate::op::{
    Attribute, Attributes, Described, FromAttributes, Grads, Meta, Metas, Op, Reader, Saves,
    Tensors, Value,
};
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Result, Tensor, apply, bail};
use tengen_kernels::lanes::Num;
use tengen_kernels::map::{Map, Predicate};

/// An elementwise operator of `N` tensors: a [`Map`] with its name and the types it takes.
pub trait Elementwise<const N: usize>: Map<N> + Attributes + 'static {
    /// The operator's name.
    const NAME: &'static str;
    /// The name of the operator of its gradients.
    const GRADIENT: &'static str;
    /// Whether it also works on integers, through [`Elementwise::int`]; otherwise they become f32.
    const INTS: bool = false;
    /// Whether it works on floating-point numbers.
    const FLOATS: bool = true;
    /// What its gradient reads.
    const SAVES: Saves = Saves::INPUTS;
    /// Its gradient, where that is more than [`Map::df`] or less.
    const RULE: Rule = Rule::Derivative;
    /// For values of which dtypes the gradient reads the value instead: [`Elementwise::dv`].
    const BY_VALUE: &'static [DType] = &[];
    /// The derivative by the value y, of a function of one argument.
    #[inline(always)]
    fn dv<L: Num>(&self, y: L, dy: L) -> L {
        let _ = y;
        dy
    }
    /// The formula on integers.
    fn int<I: Int>(&self, x: [I; N]) -> I {
        x[0]
    }
}

/// What the gradient of an elementwise operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// [`Map::df`].
    Derivative,
    /// ±dy for each operand, by the sign; nothing is computed.
    Signs([i8; 2]),
    /// None flows: it is constant between jumps.
    Steps,
}

/// The dtype in which operands meet: f64 if there is one; f16 or bf16 among themselves; f32 if
/// there is any float or a mixture of bool and numbers; else the smallest integer type that holds
/// all operands' values.
pub fn promote(dtypes: impl IntoIterator<Item = DType>) -> DType {
    dtypes.into_iter().reduce(promote2).unwrap_or(DType::F32)
}

fn promote2(a: DType, b: DType) -> DType {
    use DType::*;
    match (a, b) {
        _ if a == b => a,
        (F64, _) | (_, F64) => F64,
        _ if a.is_float() || b.is_float() || a == Bool || b == Bool => F32,
        (U8, I8) | (I8, U8) => I16,
        _ => a.max(b),
    }
}

/// The operator of a [`Map`], whose fields are its attributes.
#[derive(Clone, Copy)]
pub struct MapOp<M, const N: usize>(pub M);

/// The gradients of a [`MapOp`]: its inputs (zeros without dimensions for those that its gradient
/// does not read; or its result, if `by_value`) and dy → the gradients to the wanted inputs, summed
/// over the axes along which they were broadcast.
#[derive(Clone, Copy)]
pub struct MapGradient<M, const N: usize> {
    pub(crate) map: M,
    pub(crate) by_value: bool,
    /// How each wanted input was broadcast.
    pub(crate) wanted: [Option<Spread>; N],
}

/// The operator of a [`Predicate`].
#[derive(Clone, Copy)]
pub struct PredicateOp<P, const N: usize>(pub P);

/// An elementwise test of `N` tensors, with its name.
pub trait ElementwiseTest<const N: usize>: Predicate<N> + Attributes + 'static {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it is for bool tensors only.
    const BOOLS: bool = false;
    /// The test on integers and bools.
    fn int(&self, x: [i64; N]) -> bool;
}

/// How a shape was broadcast to another one, whatever their extents are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Attributes)]
pub struct Spread {
    /// Leading axes that it lacks.
    lead: u8,
    /// Bit `d`: axis `d` of the other shape, where it has extent 1.
    ones: u8,
}

impl Spread {
    /// How `from` was broadcast to `to`.
    pub(crate) fn new(from: &Shape, to: &Shape) -> Spread {
        if from == to {
            return Spread::default();
        }
        let lead = to.len() - from.len();
        let ones = (lead..to.len()).filter(|d| from[d - lead] == 1 && to[*d] != 1);
        Spread { lead: lead as u8, ones: ones.fold(0, |set, d| set | 1 << d) }
    }

    /// The shape that was broadcast to `to`.
    pub(crate) fn shape(self, to: &Shape) -> Result<Shape> {
        if self == Spread::default() {
            return Ok(*to);
        }
        let mut dims = [1; MAX_DIMS];
        for d in (0..to.len()).filter(|d| self.ones >> d & 1 == 0) {
            dims[d] = to[d];
        }
        match dims.get(self.lead as usize..to.len()) {
            Some(dims) => Shape::new(dims),
            None => bail!(Shape, "{} leading axes are more than those of {to}", self.lead),
        }
    }
}

/// Shape of the result of elementwise operators.
fn broadcast_all(op: &str, inputs: &[&Described]) -> Result<Shape> {
    let mut shape = *inputs[0].shape();
    for x in &inputs[1..] {
        shape = broadcast(op, &shape, x.shape())?;
    }
    Ok(shape)
}

/// The inputs as an array.
pub(crate) fn operands<'a, T, const N: usize>(op: &str, inputs: &[&'a T]) -> Result<[&'a T; N]> {
    match inputs.try_into() {
        Ok(xs) => Ok(xs),
        Err(_) => bail!(Value, "{op}: takes {N} inputs, not {}", inputs.len()),
    }
}

impl<M: Elementwise<N>, const N: usize> Op for MapOp<M, N> {
    fn name(&self) -> &'static str {
        M::NAME
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == N
    }

    fn promote(&self, inputs: &[&Described]) -> Result<Option<DType>> {
        let dtype = promote(inputs.iter().map(|x| x.dtype()));
        if !M::FLOATS && !dtype.is_int() {
            bail!(DType, "{}: works on integers, not {dtype}", M::NAME);
        }
        if dtype == DType::Bool && inputs.len() > 1 {
            bail!(DType, "{}: does not work on two bool tensors; convert one with astype", M::NAME);
        }
        let native = dtype.is_float() || (M::INTS && dtype.is_int());
        Ok(Some(if native { dtype } else { DType::F32 }))
    }

    fn infer(&self, inputs: &[&Described]) -> Result<Metas> {
        let inputs = &operands::<_, N>(M::NAME, inputs)?;
        Ok(Meta::one(broadcast_all(M::NAME, inputs)?, inputs[0].dtype()))
    }

    fn saves(&self, dtype: DType) -> Saves {
        match M::RULE {
            Rule::Derivative if M::BY_VALUE.contains(&dtype) => Saves::OUTPUTS,
            Rule::Derivative => M::SAVES,
            Rule::Signs(_) | Rule::Steps => Saves::NOTHING,
        }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        match M::RULE {
            Rule::Steps => return Ok((0..N).map(|_| None).collect()),
            Rule::Signs(signs) => {
                let dy = g.dy(0)?;
                return g.each(|k| {
                    let d = sum_to(&dy, &g.input_meta(k).shape)?;
                    Ok(Some(if signs[k] < 0 { neg(&d)? } else { d }))
                });
            }
            Rule::Derivative => {}
        }
        let dy = g.dy(0)?;
        let by_value = M::BY_VALUE.contains(&dy.dtype());
        let spread = |k| Spread::new(&g.input_meta(k).shape, dy.shape());
        let wanted = std::array::from_fn(|k| g.needs(k).then(|| spread(k)));
        let op = MapGradient { map: self.0, by_value, wanted };
        let grads = if by_value {
            apply(op, &[g.output(0)?, &dy])?
        } else {
            // What the gradient does not read is stood in for by a zero of no dimensions.
            let stand_in = match (0..N).all(|k| M::SAVES.input(k)) {
                true => None,
                false => Some(Tensor::zeros(&[], dy.dtype())?),
            };
            let mut xs = [&dy; 4];
            for (k, x) in xs[..N].iter_mut().enumerate() {
                *x = match &stand_in {
                    Some(zero) if !M::SAVES.input(k) => zero,
                    _ => g.input(k)?,
                };
            }
            apply(op, &xs[..=N])?
        };
        let mut grads = grads.into_iter();
        Ok((0..N).map(|k| if g.needs(k) { grads.next() } else { None }).collect())
    }
}

impl<M: Elementwise<N>, const N: usize> Attributes for MapOp<M, N> {
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        self.0.attributes()
    }
}

impl<M: FromAttributes, const N: usize> FromAttributes for MapOp<M, N> {
    fn from_attributes(reader: &mut Reader<'_>) -> Result<Self> {
        M::from_attributes(reader).map(MapOp)
    }
}

impl<M: Elementwise<N>, const N: usize> Op for MapGradient<M, N> {
    fn name(&self) -> &'static str {
        M::GRADIENT
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == if self.by_value { 2 } else { N + 1 }
    }

    fn infer(&self, inputs: &[&Described]) -> Result<Metas> {
        let Some((dy, xs)) = inputs.split_last() else {
            bail!(Value, "{}: inputs are missing", M::GRADIENT)
        };
        let count = if self.by_value { 1 } else { N };
        if xs.len() != count || xs.iter().any(|x| x.dtype() != dy.dtype()) {
            bail!(Value, "{}: takes {count} inputs of the gradient's dtype, and it", M::GRADIENT);
        }
        if !dy.dtype().is_float() || (self.by_value && !M::BY_VALUE.contains(&dy.dtype())) {
            bail!(DType, "{}: no gradient of {} is found so", M::GRADIENT, dy.dtype());
        }
        let equal = xs.iter().all(|x| x.shape() == dy.shape());
        if !equal && broadcast_all(M::GRADIENT, inputs)? != *dy.shape() {
            bail!(Shape, "{}: inputs do not broadcast to dy {dy}", M::GRADIENT);
        }
        let mut out = Metas::new();
        for spread in self.wanted.iter().flatten() {
            out.push(Meta { shape: spread.shape(dy.shape())?, dtype: dy.dtype() });
        }
        Ok(out)
    }

    fn expand(&self, inputs: &[&Tensor]) -> Option<Result<Tensors>> {
        Some(symbolic::gradient(self, inputs))
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}

impl<M: Elementwise<N>, const N: usize> Attributes for MapGradient<M, N> {
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        let mut all = self.map.attributes();
        all.extend([("by_value", self.by_value.to_value()), ("wanted", self.wanted.to_value())]);
        all
    }
}

impl<M: FromAttributes, const N: usize> FromAttributes for MapGradient<M, N> {
    fn from_attributes(reader: &mut Reader<'_>) -> Result<Self> {
        let (by_value, wanted) = (reader.field("by_value")?, reader.field("wanted")?);
        Ok(MapGradient { map: M::from_attributes(reader)?, by_value, wanted })
    }
}

impl<P: ElementwiseTest<N>, const N: usize> Op for PredicateOp<P, N> {
    fn name(&self) -> &'static str {
        P::NAME
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == N
    }

    fn promote(&self, inputs: &[&Described]) -> Result<Option<DType>> {
        if P::BOOLS
            && let Some(x) = inputs.iter().find(|x| x.dtype() != DType::Bool)
        {
            bail!(DType, "{}: works on bool tensors, not {x}", P::NAME);
        }
        Ok(Some(promote(inputs.iter().map(|x| x.dtype()))))
    }

    fn infer(&self, inputs: &[&Described]) -> Result<Metas> {
        let inputs = &operands::<_, N>(P::NAME, inputs)?;
        Ok(Meta::one(broadcast_all(P::NAME, inputs)?, DType::Bool))
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

impl<P: ElementwiseTest<N>, const N: usize> Attributes for PredicateOp<P, N> {
    fn attributes(&self) -> Vec<(&'static str, Value)> {
        self.0.attributes()
    }
}

impl<P: FromAttributes, const N: usize> FromAttributes for PredicateOp<P, N> {
    fn from_attributes(reader: &mut Reader<'_>) -> Result<Self> {
        P::from_attributes(reader).map(PredicateOp)
    }
}
