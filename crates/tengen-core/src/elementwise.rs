//! The driver of elementwise operators: broadcasting, layout, threads; and the backward pass in
//! which gradients to broadcast operands are summed on the way.

use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::{self, cast::cast_raw};
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Element, Result, Tensor, bail};
use smallvec::smallvec;
use tengen_kernels::copy::CopyPlan;
use tengen_kernels::lanes::Float;
use tengen_kernels::map::{self, Dst, Map, Predicate, Src};
use tengen_kernels::pool;

/// Elements per task; the split never depends on the number of threads.
const TASK: usize = 16 * 1024;
/// Below this many elements one thread is faster.
const PARALLEL: usize = 32 * 1024;
/// Runs shorter than this are not worth a kernel call each: operands are materialised instead.
const SHORT_RUN: usize = 32;

/// An elementwise operator of `N` tensors: a [`Map`] with its name and the types it takes.
pub trait Elementwise<const N: usize>: Map<N> {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it also works on integers, through [`Elementwise::int`]; otherwise they become f32.
    const INTS: bool = false;
    /// Whether it works on floating-point numbers.
    const FLOATS: bool = true;
    /// What its gradient reads.
    const SAVES: Saves = Saves::INPUTS;
    /// The formula on integers.
    fn int<I: Int>(&self, x: [I; N]) -> I {
        x[0]
    }
    /// The gradient rule: [`Map::df`], fused with the sums over broadcast axes; or, while the
    /// backward pass is recorded, `df` spelled out in operators.
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        map_gradient(self, g)
    }
}

/// Integer elements, with the arithmetic that elementwise operators need.
pub trait Int: Element + Ord {
    /// self + o, wrapping.
    fn add(self, o: Self) -> Self;
    /// self − o, wrapping.
    fn sub(self, o: Self) -> Self;
    /// self · o, wrapping.
    fn mul(self, o: Self) -> Self;
    /// ⌊self ÷ o⌋; 0 when `o` is 0.
    fn floor_div(self, o: Self) -> Self;
    /// self − o·⌊self ÷ o⌋; 0 when `o` is 0.
    fn modulo(self, o: Self) -> Self;
    /// |self|, wrapping.
    fn abs(self) -> Self;
    /// Shifted left by `o` bits; 0 when there are not that many.
    fn shl(self, o: Self) -> Self;
    /// Shifted right by `o` bits, keeping the sign.
    fn shr(self, o: Self) -> Self;
    /// −1, 0 or 1.
    fn sign(self) -> Self;
}

macro_rules! ints {
    ($($t:ty),*) => {$(
        impl Int for $t {
            #[inline(always)]
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline(always)]
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            #[inline(always)]
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn floor_div(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let q = self.wrapping_div(o);
                if self.wrapping_rem(o) != 0 && (self < 0) != (o < 0) { q - 1 } else { q }
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn modulo(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(o);
                if r != 0 && (r < 0) != (o < 0) { r + o } else { r }
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn abs(self) -> Self {
                if self < 0 { (0 as $t).wrapping_sub(self) } else { self }
            }
            #[inline(always)]
            fn shl(self, o: Self) -> Self {
                u32::try_from(o).ok().and_then(|o| self.checked_shl(o)).unwrap_or(0)
            }
            #[inline(always)]
            fn shr(self, o: Self) -> Self {
                self >> u32::try_from(o).map_or(<$t>::BITS - 1, |o| o.min(<$t>::BITS - 1))
            }
            #[inline(always)]
            fn sign(self) -> Self {
                self.cmp(&0) as $t
            }
        }
    )*};
}
ints!(u8, i8, i16, i32, i64);

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

/// The operator of a [`Map`].
#[derive(Clone, Copy)]
pub struct MapOp<M, const N: usize>(pub M);

/// The operator of a [`Predicate`].
#[derive(Clone, Copy)]
pub struct PredicateOp<P, const N: usize>(pub P);

/// An elementwise test of `N` tensors, with its name.
pub trait ElementwiseTest<const N: usize>: Predicate<N> {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it is for bool tensors only.
    const BOOLS: bool = false;
    /// The test on integers and bools.
    fn int(&self, x: [i64; N]) -> bool;
}

/// Shape of the result of elementwise operators.
fn broadcast_all(op: &str, inputs: &[&Tensor]) -> Result<Shape> {
    let mut shape = *inputs[0].shape();
    for x in &inputs[1..] {
        shape = broadcast(op, &shape, x.shape())?;
    }
    Ok(shape)
}

fn operands<'a, const N: usize>(op: &str, inputs: &[&'a Tensor]) -> Result<[&'a Tensor; N]> {
    match inputs.try_into() {
        Ok(xs) => Ok(xs),
        Err(_) => bail!(Value, "{op}: takes {N} inputs, not {}", inputs.len()),
    }
}

impl<M: Elementwise<N>, const N: usize> Op for MapOp<M, N> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
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

    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(broadcast_all(M::NAME, inputs)?, inputs[0].dtype()))
    }

    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<N>(M::NAME, inputs)?;
        let Meta { shape, dtype } = out[0];
        let y = match dtype {
            DType::F32 => forward::<f32, M, N>(&self.0, xs, shape)?,
            DType::F64 => forward::<f64, M, N>(&self.0, xs, shape)?,
            DType::F16 | DType::BF16 => {
                let xs = try_each(xs, |x| cast_raw(x, DType::F32))?;
                cast_raw(&forward::<f32, M, N>(&self.0, xs.each_ref(), shape)?, dtype)?
            }
            _ => crate::dispatch!(dtype, [U8, I8, I16, I32, I64], T => {
                scalar::<T, T, N>(xs, shape, ScalarInt(&self.0))?
            }, else bail!(DType, "{}: does not work on {dtype}", M::NAME)),
        };
        Ok(smallvec![y])
    }

    fn saves(&self) -> Saves {
        M::SAVES
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        Elementwise::grad(&self.0, g)
    }
}

fn map_gradient<M: Elementwise<N>, const N: usize>(map: &M, g: &Gradient) -> Result<Grads> {
    let dy = g.dy(0)?;
    // What the gradient does not read is stood in for by a zero of no dimensions.
    let stand_in = Tensor::zeros(&[], dy.dtype())?;
    let mut xs = [&stand_in; N];
    for (k, x) in xs.iter_mut().enumerate() {
        if M::SAVES.inputs >> k & 1 == 1 {
            *x = g.input(k)?;
        }
    }
    if is_recording() {
        return ops::symbolic::gradient(map, xs, &dy, g);
    }
    let wanted = std::array::from_fn(|k| g.needs(k).then(|| g.input_meta(k).shape));
    backward(map, xs, &dy, wanted)
}

impl<P: ElementwiseTest<N>, const N: usize> Op for PredicateOp<P, N> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
        if P::BOOLS
            && let Some(x) = inputs.iter().find(|x| x.dtype() != DType::Bool)
        {
            bail!(DType, "{}: works on bool tensors, not {x}", P::NAME);
        }
        Ok(Some(promote(inputs.iter().map(|x| x.dtype()))))
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(broadcast_all(P::NAME, inputs)?, DType::Bool))
    }

    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<N>(P::NAME, inputs)?;
        let shape = out[0].shape;
        let y = match xs[0].dtype() {
            DType::F32 => test::<f32, P, N>(&self.0, xs, shape)?,
            DType::F64 => test::<f64, P, N>(&self.0, xs, shape)?,
            DType::F16 | DType::BF16 => {
                let xs = try_each(xs, |x| cast_raw(x, DType::F32))?;
                test::<f32, P, N>(&self.0, xs.each_ref(), shape)?
            }
            dtype => crate::dispatch!(dtype, [Bool, U8, I8, I16, I32, I64], T => {
                scalar::<T, bool, N>(xs, shape, ScalarTest(&self.0))?
            }, else bail!(DType, "{}: does not work on {dtype}", P::NAME)),
        };
        Ok(smallvec![y])
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }
}

fn try_each<const N: usize>(
    xs: [&Tensor; N],
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<[Tensor; N]> {
    let mut out = xs.map(Tensor::detach);
    for x in &mut out {
        *x = f(x)?;
    }
    Ok(out)
}

/// Whether an operand needs no plan: it is one element, or contiguous and not broadcast.
#[inline]
fn is_plain(x: &Tensor, shape: &Shape) -> bool {
    x.numel() == 1 || (x.is_contiguous() && x.shape() == shape)
}

/// How operands of broadcast shapes are walked: outer dimensions, and an inner run in which each
/// operand is either contiguous or a single element.
struct Plan<const K: usize> {
    sizes: [usize; MAX_DIMS],
    strides: [[isize; K]; MAX_DIMS],
    outer: usize,
    inner: usize,
    single: [bool; K],
}

impl<const K: usize> Plan<K> {
    /// A plan, or the operands that must be made contiguous first.
    fn new(shape: &Shape, xs: [&Tensor; K]) -> std::result::Result<Plan<K>, [bool; K]> {
        let mut plan = Plan {
            sizes: [1; MAX_DIMS],
            strides: [[0; K]; MAX_DIMS],
            outer: 0,
            inner: 1,
            single: [true; K],
        };
        if xs.iter().all(|x| is_plain(x, shape)) {
            plan.inner = shape.numel();
            plan.single = xs.map(|x| x.numel() == 1);
            return Ok(plan);
        }
        // Merged dimensions, innermost first.
        let (mut sizes, mut strides, mut n) = ([1; MAX_DIMS], [[0isize; K]; MAX_DIMS], 0);
        for d in (0..shape.len()).rev() {
            if shape[d] == 1 {
                continue;
            }
            let step = xs.map(|x| match (d + x.ndim()).checked_sub(shape.len()) {
                Some(i) if x.shape()[i] != 1 => x.strides()[i],
                _ => 0,
            });
            let merges =
                n > 0 && (0..K).all(|k| step[k] == strides[n - 1][k] * sizes[n - 1] as isize);
            if merges {
                sizes[n - 1] *= shape[d];
            } else {
                (sizes[n], strides[n]) = (shape[d], step);
                n += 1;
            }
        }
        if n == 0 {
            return Ok(plan);
        }
        let bad = strides[0].map(|s| s != 0 && s != 1);
        if bad.contains(&true) {
            return Err(bad);
        }
        plan.inner = sizes[0];
        plan.single = strides[0].map(|s| s == 0);
        plan.outer = n - 1;
        for d in 0..plan.outer {
            plan.sizes[d] = sizes[n - 1 - d];
            plan.strides[d] = strides[n - 1 - d];
        }
        Ok(plan)
    }

    fn runs(&self) -> usize {
        self.sizes[..self.outer].iter().product()
    }

    /// How many elements operand `k` has if it does not repeat along an axis of its own.
    fn distinct(&self, k: usize) -> usize {
        (0..self.outer).filter(|d| self.strides[*d][k] != 0).map(|d| self.sizes[d]).product()
    }

    /// Pieces that a run is cut into.
    fn pieces(&self) -> usize {
        self.inner.div_ceil(TASK)
    }

    /// Calls `f(segment, position in the result, offsets, length)` for every piece of every run,
    /// on several threads.
    fn for_each(&self, f: impl Fn(usize, usize, [isize; K], usize) + Sync) {
        let (runs, pieces) = (self.runs(), self.pieces());
        let segments = runs * pieces;
        if segments == 0 {
            return;
        }
        let per_task = if pieces > 1 { 1 } else { (TASK / self.inner.max(1)).max(1) };
        let work = |from: usize, to: usize| {
            // The first run's position, then an odometer.
            let mut index = [0; MAX_DIMS];
            let mut at = [0isize; K];
            let mut rest = from / pieces;
            for d in (0..self.outer).rev() {
                index[d] = rest % self.sizes[d];
                rest /= self.sizes[d];
                for k in 0..K {
                    at[k] += index[d] as isize * self.strides[d][k];
                }
            }
            for segment in from..to {
                let (run, piece) = (segment / pieces, segment % pieces);
                let start = piece * TASK;
                let offsets = std::array::from_fn(|k| {
                    at[k] + if self.single[k] { 0 } else { start as isize }
                });
                f(segment, run * self.inner + start, offsets, (self.inner - start).min(TASK));
                if piece + 1 == pieces {
                    for d in (0..self.outer).rev() {
                        index[d] += 1;
                        for k in 0..K {
                            at[k] += self.strides[d][k];
                        }
                        if index[d] < self.sizes[d] {
                            break;
                        }
                        for k in 0..K {
                            at[k] -= index[d] as isize * self.strides[d][k];
                        }
                        index[d] = 0;
                    }
                }
            }
        };
        if segments * self.inner.min(TASK) < PARALLEL {
            work(0, segments);
        } else {
            pool::for_ranges(segments, per_task, work);
        }
    }
}

/// A plan for operands, copying those whose layout the loops cannot walk.
fn prepare<const K: usize>(shape: &Shape, xs: [&Tensor; K]) -> Result<([Tensor; K], Plan<K>)> {
    let mut xs = xs.map(Tensor::detach);
    loop {
        match Plan::new(shape, xs.each_ref()) {
            Ok(plan) if plan.outer > 0 && plan.inner < SHORT_RUN => {
                for x in &mut xs {
                    if !is_plain(x, shape) {
                        *x = expand(x, shape).copy()?;
                    }
                }
            }
            Ok(plan) => return Ok((xs, plan)),
            Err(bad) => {
                for (x, _) in xs.iter_mut().zip(bad).filter(|(_, bad)| *bad) {
                    *x = x.copy()?;
                }
            }
        }
    }
}

/// A view of `x` broadcast to `shape`, which must be possible.
pub(crate) fn expand(x: &Tensor, shape: &Shape) -> Tensor {
    let mut strides = [0; MAX_DIMS];
    for d in 0..shape.len() {
        if let Some(i) = (d + x.ndim()).checked_sub(shape.len())
            && x.shape()[i] != 1
        {
            strides[d] = x.strides()[i];
        }
    }
    // SAFETY: along each axis the view either keeps an extent and stride of `x` or repeats.
    unsafe { x.view(*shape, strides, x.offset()) }
}

/// A pointer that tasks share, each for its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub *mut T);
// SAFETY: sharing the address is harmless; every use states why its part is not shared.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    pub(crate) fn at(self, offset: isize) -> *mut T {
        self.0.wrapping_offset(offset)
    }
}

/// The loop's view of operands at some offsets.
fn sources<T: Element, const K: usize>(
    p: &[Shared<T>; K],
    plan: &Plan<K>,
    at: [isize; K],
) -> [Src<T>; K] {
    std::array::from_fn(|k| Src { ptr: p[k].at(at[k]).cast_const(), single: plan.single[k] })
}

fn forward<T: Float + Element, M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    shape: Shape,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, T::DTYPE)?;
    let n = y.numel();
    if n < PARALLEL && xs.iter().all(|x| is_plain(x, &shape)) {
        let src = xs.map(|x| Src { ptr: x.ptr::<T>().cast_const(), single: x.numel() == 1 });
        // SAFETY: operands are contiguous with `n` elements, or have one; `y` is new.
        unsafe { map::forward(map, src, y.ptr::<T>(), n) };
        return Ok(y);
    }
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) = (xs.each_ref().map(|x| Shared(x.ptr::<T>())), Shared(y.ptr::<T>()));
    plan.for_each(|_, position, at, n| {
        // SAFETY: the plan keeps offsets inside the operands, and each piece of the new `y` is
        // written once.
        unsafe { map::forward(map, sources(&p, &plan, at), q.at(position as isize), n) };
    });
    Ok(y)
}

fn test<T: Float + Element, P: Predicate<N>, const N: usize>(
    predicate: &P,
    xs: [&Tensor; N],
    shape: Shape,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, DType::Bool)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) =
        (xs.each_ref().map(|x| Shared(x.ptr::<T>())), Shared(y.ptr::<bool>().cast::<u8>()));
    plan.for_each(|_, position, at, n| {
        // SAFETY: as in `forward`.
        unsafe { map::test(predicate, sources(&p, &plan, at), q.at(position as isize), n) };
    });
    Ok(y)
}

struct ScalarInt<'a, M>(&'a M);
struct ScalarTest<'a, P>(&'a P);

/// A formula over plain elements.
trait Plain<I, O, const N: usize>: Sync {
    fn value(&self, x: [I; N]) -> O;
}
impl<I: Int, M: Elementwise<N>, const N: usize> Plain<I, I, N> for ScalarInt<'_, M> {
    #[inline(always)]
    fn value(&self, x: [I; N]) -> I {
        self.0.int(x)
    }
}
impl<I: Element, P: ElementwiseTest<N>, const N: usize> Plain<I, bool, N> for ScalarTest<'_, P> {
    #[inline(always)]
    fn value(&self, x: [I; N]) -> bool {
        self.0.int(x.map(I::to_i64))
    }
}

/// Applies a formula over plain elements.
fn scalar<I: Element, O: Element, const N: usize>(
    xs: [&Tensor; N],
    shape: Shape,
    f: impl Plain<I, O, N>,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, O::DTYPE)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) = (xs.each_ref().map(|x| Shared(x.ptr::<I>())), Shared(y.ptr::<O>()));
    plan.for_each(|_, position, at, n| {
        // SAFETY: as in `forward`.
        unsafe {
            map::scalar(|x| f.value(x), sources(&p, &plan, at), q.at(position as isize), n);
        }
    });
    Ok(y)
}

/// The gradients of a map to the operands whose shapes are given.
pub(crate) fn backward<M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    dy: &Tensor,
    wanted: [Option<Shape>; N],
) -> Result<Grads> {
    match dy.dtype() {
        DType::F32 => backward_as::<f32, M, N>(map, xs, dy, wanted),
        DType::F64 => backward_as::<f64, M, N>(map, xs, dy, wanted),
        dtype => {
            let xs = try_each(xs, |x| cast_raw(x, DType::F32))?;
            let dy = cast_raw(dy, DType::F32)?;
            let grads = backward_as::<f32, M, N>(map, xs.each_ref(), &dy, wanted)?;
            grads.into_iter().map(|g| g.map(|g| cast_raw(&g, dtype)).transpose()).collect()
        }
    }
}

fn backward_as<T: Float + Element, M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    dy: &Tensor,
    wanted: [Option<Shape>; N],
) -> Result<Grads> {
    let shape = *dy.shape();
    let dy = &dense(dy)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let segments = plan.runs() * plan.pieces();
    enum Into {
        Skip,
        Full(Tensor),
        Sums(Vec<f64>),
    }
    let mut into: [Into; N] = std::array::from_fn(|_| Into::Skip);
    for k in 0..N {
        let Some(s) = &wanted[k] else { continue };
        // An operand that is single in every run, or that the formula does not read and that has
        // one element, is summed per piece; any other gets a full gradient first.
        let sums = plan.single[k] && *s != shape && plan.distinct(k) == s.numel();
        into[k] = if sums {
            Into::Sums(vec![0.0; segments])
        } else {
            Into::Full(Tensor::empty(shape, T::DTYPE)?)
        };
    }
    let p: [Shared<T>; N] = xs.each_ref().map(|x| Shared(x.ptr::<T>()));
    let q = Shared(dy.ptr::<T>());
    enum To<T> {
        Skip,
        Full(Shared<T>),
        Sums(Shared<f64>),
    }
    let to: [To<T>; N] = into.each_mut().map(|i| match i {
        Into::Skip => To::Skip,
        Into::Full(t) => To::Full(Shared(t.ptr::<T>())),
        Into::Sums(v) => To::Sums(Shared(v.as_mut_ptr())),
    });
    let dy_single = dy.numel() == 1;
    plan.for_each(|segment, position, at, n| {
        let src = sources(&p, &plan, at);
        let offset = if dy_single { 0 } else { position as isize };
        let dy = Src { ptr: q.at(offset).cast_const(), single: dy_single };
        let dx = std::array::from_fn(|k| match &to[k] {
            To::Skip => Dst::Skip,
            To::Full(t) => Dst::Store(t.at(position as isize)),
            To::Sums(s) => Dst::Sum(s.at(segment as isize)),
        });
        // SAFETY: the plan keeps offsets inside the operands; positions and segments are written
        // once each, in tensors and vectors of this call.
        unsafe { map::backward(map, src, dy, dx, n) };
    });
    let mut grads = Grads::new();
    for (k, i) in into.into_iter().enumerate() {
        grads.push(match (i, &wanted[k]) {
            (Into::Full(t), Some(s)) => Some(ops::sum_to(&t, s)?),
            (Into::Sums(sums), Some(s)) => Some(collect_sums::<T, N>(&plan, k, &sums, s)?),
            _ => None,
        });
    }
    Ok(grads)
}

/// `x` if it is contiguous, one element if all of its elements are that one, else a copy.
fn dense(x: &Tensor) -> Result<Tensor> {
    if x.numel() > 1 && x.strides().iter().zip(x.shape().iter()).all(|(s, n)| *s == 0 || *n == 1) {
        // SAFETY: the first element of a tensor that is not empty.
        return Ok(unsafe { x.view(Shape::default(), [0; MAX_DIMS], x.offset()) });
    }
    Ok(x.contiguous()?.detach())
}

/// Adds up per-piece sums, in order, into the gradient of operand `k`.
fn collect_sums<T: Float + Element, const N: usize>(
    plan: &Plan<N>,
    k: usize,
    sums: &[f64],
    shape: &Shape,
) -> Result<Tensor> {
    let mut total = vec![0.0f64; shape.numel()];
    let pieces = plan.pieces();
    let mut index = [0; MAX_DIMS];
    // The gradient is contiguous, while the plan's strides are those of the operand's own layout:
    // walk with strides of a contiguous operand instead.
    let steps = contiguous_steps(plan, k);
    let mut at = 0;
    for run in sums.chunks(pieces.max(1)) {
        total[at] += run.iter().sum::<f64>();
        for d in (0..plan.outer).rev() {
            index[d] += 1;
            at += steps[d];
            if index[d] < plan.sizes[d] {
                break;
            }
            at -= index[d] * steps[d];
            index[d] = 0;
        }
    }
    let t = Tensor::empty(*shape, T::DTYPE)?;
    for (i, v) in total.into_iter().enumerate() {
        // SAFETY: the tensor is new and has as many elements as `total`.
        unsafe { t.ptr::<T>().add(i).write(<T as Float>::from_f64(v)) };
    }
    Ok(t)
}

/// Steps of operand `k` along the plan's outer dimensions if its elements were contiguous.
fn contiguous_steps<const N: usize>(plan: &Plan<N>, k: usize) -> [usize; MAX_DIMS] {
    let mut steps = [0; MAX_DIMS];
    let mut step = 1;
    for d in (0..plan.outer).rev() {
        if plan.strides[d][k] != 0 {
            steps[d] = step;
            step *= plan.sizes[d];
        }
    }
    steps
}

/// Copies the elements of `src` to `dst`, of the same shape and dtype: a new tensor or a view of
/// one, without repeated elements.
pub(crate) fn copy_into(src: &Tensor, dst: &Tensor) {
    fn run<U: Copy>(plan: &CopyPlan, src: *const u8, dst: *mut u8) {
        let (p, q) = (Shared(src.cast_mut().cast::<U>()), Shared(dst.cast::<U>()));
        let all = |from, to| {
            // SAFETY: the plan covers the elements of two live tensors, `dst` is new, and each
            // unit is copied once.
            unsafe { plan.run(p.at(0).cast_const(), q.at(0), from..to) }
        };
        if plan.units() * plan.unit_len() < PARALLEL {
            all(0, plan.units());
        } else {
            pool::for_ranges(plan.units(), (TASK / plan.unit_len().max(1)).max(1), all);
        }
    }
    debug_assert_eq!(src.shape(), dst.shape());
    let Some(plan) = CopyPlan::new(src.shape(), src.strides(), dst.strides()) else {
        unreachable!("a tensor's own layout always has a plan");
    };
    if plan.units() == 0 {
        return;
    }
    let (p, q) = (src.ptr::<u8>(), dst.ptr::<u8>());
    match src.dtype().size() {
        1 => run::<u8>(&plan, p, q),
        2 => run::<u16>(&plan, p, q),
        4 => run::<u32>(&plan, p, q),
        _ => run::<u64>(&plan, p, q),
    }
}
