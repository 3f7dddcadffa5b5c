//! Convolution: three operators, of which each is the others' gradient.

use super::{add, reshape};
use crate::autograd::Gradient;
use crate::elementwise::Shared;
use crate::op::{Grads, Meta, Metas, Op, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, apply1, bail, ensure, promote};
use smallvec::smallvec;
use tengen_kernels::conv::{self as kernels, Exchanged, Geometry, Real, Spread, Taps, Window};
use tengen_kernels::gemm::{self, Strided};
use tengen_kernels::pool;

/// How the window of a convolution moves; pairs are (vertical, horizontal).
///
/// ```
/// use tengen_core::ops::ConvParams;
/// let same = ConvParams { padding: (1, 1), ..ConvParams::default() };
/// assert_eq!(same.stride, (1, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvParams {
    /// Step of the window, in pixels.
    pub stride: (usize, usize),
    /// Zeros around the image, on each side, in pixels.
    pub padding: (usize, usize),
    /// Distance between the filter's taps, in pixels.
    pub dilation: (usize, usize),
    /// Into how many groups channels are divided; each sees only its own.
    pub groups: usize,
}

impl Default for ConvParams {
    fn default() -> Self {
        ConvParams { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// Which of the three a [`Conv`] computes, from which inputs.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// image, filters → result
    Forward,
    /// result's gradient, filters → image's gradient, of the given height and width
    ToInput(usize, usize),
    /// image, result's gradient → filters' gradient, of the given height and width
    ToFilter(usize, usize),
}

/// Image `[n, c, h, w]`, filters `[k, c/groups, r, s]`, result `[n, k, oh, ow]`.
#[derive(Clone, Copy)]
struct Conv {
    params: ConvParams,
    pass: Pass,
}

/// Extent of the result along one axis, if the filter fits.
fn out_extent(n: usize, r: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    let reach = r.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let room = n.checked_add(padding.checked_mul(2)?)?.checked_sub(reach)?;
    Some(room / stride + 1)
}

impl Conv {
    /// Geometry of one group, and the shapes of image, filters and result.
    fn geometry(&self, x: &[&Tensor]) -> Result<(Geometry, usize, [Shape; 3])> {
        let p = &self.params;
        ensure!(
            p.groups > 0
                && p.stride.0 > 0
                && p.stride.1 > 0
                && p.dilation.0 > 0
                && p.dilation.1 > 0,
            Value,
            "{}: groups, stride and dilation must be positive ({p:?})",
            self.name()
        );
        let (a, b) = (x[0], x[1]);
        ensure!(
            a.ndim() == 4 && b.ndim() == 4,
            Shape,
            "{}: four dimensions are needed, not {a} and {b}",
            self.name()
        );
        let (sa, sb) = (a.shape(), b.shape());
        let name = self.name();
        let (n, c, image, k, filter, out) = match self.pass {
            Pass::Forward => {
                let axis = |d: usize, s: usize, pad: usize, dil: usize| {
                    out_extent(sa[d], sb[d], s, pad, dil)
                };
                let out = axis(2, p.stride.0, p.padding.0, p.dilation.0).zip(axis(
                    3,
                    p.stride.1,
                    p.padding.1,
                    p.dilation.1,
                ));
                let Some(out) = out else {
                    bail!(
                        Shape,
                        "{name}: the filter does not fit into the padded image (inp: {a}, weight: {b}, {p:?})"
                    )
                };
                (sa[0], sa[1], (sa[2], sa[3]), sb[0], (sb[2], sb[3]), out)
            }
            Pass::ToInput(h, w) => {
                (sa[0], sb[1] * p.groups, (h, w), sb[0], (sb[2], sb[3]), (sa[2], sa[3]))
            }
            Pass::ToFilter(r, s) => (sa[0], sa[1], (sa[2], sa[3]), sb[1], (r, s), (sb[2], sb[3])),
        };
        ensure!(
            c % p.groups == 0 && k % p.groups == 0,
            Shape,
            "{name}: {c} input and {k} output channels do not divide into {} groups",
            p.groups
        );
        let per_group = c / p.groups;
        let expected = match self.pass {
            Pass::Forward => (sb[1], "input channels", per_group),
            Pass::ToInput(..) => (sa[1], "channels", k),
            Pass::ToFilter(..) => (sb[0], "images", n),
        };
        ensure!(
            expected.0 == expected.2,
            Shape,
            "{name}: {} {} where {} are needed (inp: {a}, weight: {b}, groups: {})",
            expected.0,
            expected.1,
            expected.2,
            p.groups
        );
        let g = Geometry {
            c: per_group,
            image,
            k: k / p.groups,
            filter,
            out,
            stride: p.stride,
            padding: p.padding,
            dilation: p.dilation,
        };
        let fits = |n: usize, r: usize, o: usize, s, pad, dil| {
            out_extent(n, r, s, pad, dil).is_some_and(|e| e == o)
        };
        ensure!(
            fits(image.0, filter.0, out.0, p.stride.0, p.padding.0, p.dilation.0)
                && fits(image.1, filter.1, out.1, p.stride.1, p.padding.1, p.dilation.1),
            Shape,
            "{name}: no image of {image:?} gives {out:?} under a filter of {filter:?} ({p:?})"
        );
        let shapes = [
            Shape::new(&[n, c, image.0, image.1])?,
            Shape::new(&[k, per_group, filter.0, filter.1])?,
            Shape::new(&[n, k, out.0, out.1])?,
        ];
        Ok((g, n, shapes))
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        match self.pass {
            Pass::Forward => "conv2d",
            Pass::ToInput(..) => "conv_transpose2d",
            Pass::ToFilter(..) => "conv2d_weight_gradient",
        }
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        let dtype = promote(x.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() { dtype } else { DType::F32 }))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (_, _, [image, filters, out]) = self.geometry(x)?;
        let shape = match self.pass {
            Pass::Forward => out,
            Pass::ToInput(..) => image,
            Pass::ToFilter(..) => filters,
        };
        Ok(Meta::one(shape, x[0].dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (g, n, _) = self.geometry(x)?;
        let Meta { shape, dtype } = out[0];
        Ok(smallvec![match dtype {
            DType::F32 => self.run::<f32>(x, g, n, shape)?,
            DType::F64 => self.run::<f64>(x, g, n, shape)?,
            _ => {
                let x = [cast_raw(x[0], DType::F32)?, cast_raw(x[1], DType::F32)?];
                cast_raw(&self.run::<f32>(&[&x[0], &x[1]], g, n, shape)?, dtype)?
            }
        }])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (a, b, dy) = (g.input(0)?, g.input(1)?, g.dy(0)?);
        let params = self.params;
        let to = |pass, x: &[&Tensor]| apply1(Conv { params, pass }, x).map(Some);
        let (sa, sb) = (g.input_meta(0).shape, g.input_meta(1).shape);
        g.each(|k| match (self.pass, k) {
            (Pass::Forward, 0) => to(Pass::ToInput(sa[2], sa[3]), &[&dy, b]),
            (Pass::Forward, _) => to(Pass::ToFilter(sb[2], sb[3]), &[a, &dy]),
            (Pass::ToInput(..), 0) => to(Pass::Forward, &[&dy, b]),
            (Pass::ToInput(..), _) => to(Pass::ToFilter(sb[2], sb[3]), &[&dy, a]),
            (Pass::ToFilter(..), 0) => to(Pass::ToInput(sa[2], sa[3]), &[b, &dy]),
            (Pass::ToFilter(..), _) => to(Pass::Forward, &[a, &dy]),
        })
    }
}

/// Products of at least this many steps are shared out each; of smaller ones, images run side by
/// side.
const LARGE: usize = 1 << 23;
/// Groups of images that run side by side; also the number of partial sums of filter gradients,
/// which therefore does not depend on the number of threads.
const CHUNKS: usize = 16;

impl Conv {
    fn run<T: Real + Element>(
        &self,
        x: &[&Tensor],
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let (a, b) = (x[0].contiguous()?, x[1].contiguous()?);
        let y = Tensor::zeros(&shape, T::DTYPE)?;
        if y.numel() == 0 || a.numel() == 0 || b.numel() == 0 {
            return Ok(y);
        }
        let (a, b, c) = (a.as_slice::<T>()?, b.as_slice::<T>()?, Shared(y.ptr::<T>()));
        if g.c == 1 {
            self.depthwise(a, b, c, g, n);
        } else {
            self.multiply(a, b, c, g, n)?;
        }
        Ok(y)
    }

    /// One input channel per group: a plane, a filter and a result at a time. `y` starts at 0.
    fn depthwise<T: Real>(&self, a: &[T], b: &[T], y: Shared<T>, g: Geometry, n: usize) {
        let groups = self.params.groups;
        let (hw, area, pixels) = (g.image.0 * g.image.1, g.taps(), g.pixels());
        let one = Geometry { k: 1, ..g };
        let part = |at: usize, len: usize| {
            // SAFETY: each task's part of `y`, which is new and initialised, is its own.
            unsafe { std::slice::from_raw_parts_mut(y.at((at * len) as isize), len) }
        };
        match self.pass {
            Pass::Forward => pool::for_each(n * groups * g.k, |t| {
                let (plane, filter) = (t / g.k, t % (groups * g.k));
                let image = &a[plane * hw..(plane + 1) * hw];
                let filter = &b[filter * area..(filter + 1) * area];
                kernels::depthwise(one, image, filter, part(t, pixels));
            }),
            Pass::ToInput(..) => pool::for_each(n * groups, |plane| {
                for k in 0..g.k {
                    let (o, f) = (plane * g.k + k, plane % groups * g.k + k);
                    let out = &a[o * pixels..(o + 1) * pixels];
                    let filter = &b[f * area..(f + 1) * area];
                    kernels::depthwise_to_input(one, out, filter, part(plane, hw));
                }
            }),
            Pass::ToFilter(..) => pool::for_each(groups * g.k, |f| {
                for i in 0..n {
                    let (plane, o) = (i * groups + f / g.k, i * groups * g.k + f);
                    let image = &a[plane * hw..(plane + 1) * hw];
                    let out = &b[o * pixels..(o + 1) * pixels];
                    kernels::depthwise_to_filter(one, image, out, part(f, area));
                }
            }),
        }
    }

    /// The general case, as products of matrices: per group and image, rows × columns over inner.
    fn multiply<T: Real + Element>(
        &self,
        a: &[T],
        b: &[T],
        y: Shared<T>,
        g: Geometry,
        n: usize,
    ) -> Result<()> {
        let groups = self.params.groups;
        let (area, pixels, hw) = (g.filter.0 * g.filter.1, g.pixels(), g.image.0 * g.image.1);
        // Between the steps of a window lie pixels that few taps reach: spreading results over
        // them would multiply mostly zeros, so the taps' contributions are computed and added up.
        let by_columns = matches!(self.pass, Pass::ToInput(..)) && g.stride != (1, 1);
        let dims @ (rows, columns, inner) = match self.pass {
            Pass::Forward => (g.k, pixels, g.taps()),
            Pass::ToInput(..) if by_columns => (g.taps(), pixels, g.k),
            Pass::ToInput(..) => (g.c, hw, g.k * area),
            Pass::ToFilter(..) => (g.k, g.taps(), pixels),
        };
        let to_filter = matches!(self.pass, Pass::ToFilter(..));
        let side_by_side = n > 1 && rows * columns * inner < LARGE;
        let tasks = if side_by_side { n.min(CHUNKS) } else { 1 };
        let result = rows * columns;
        let partial = if (to_filter && tasks > 1) || by_columns { result } else { 0 };
        let packed = gemm::packed_len::<T>(rows, inner);
        let per_task =
            gemm::workspace_len::<T>(columns, inner) + partial + if to_filter { packed } else { 0 };
        let shared = if to_filter { 0 } else { packed };
        let len = per_task.checked_mul(tasks).and_then(|l| l.checked_add(shared));
        let Some(len) = len else { bail!(Memory, "{}: the workspace cannot be had", self.name()) };
        let scratch = Tensor::empty(Shape::new(&[len])?, T::DTYPE)?;
        let s = Shared(scratch.ptr::<T>());
        let (image_len, out_len, filter_len) = (g.image_len(), g.out_len(), g.k * g.taps());
        for group in 0..groups {
            let image = |x: &'_ [T], i: usize| -> *const T {
                x[(i * groups + group) * image_len..].as_ptr()
            };
            let out =
                |x: &'_ [T], i: usize| -> *const T { x[(i * groups + group) * out_len..].as_ptr() };
            // SAFETY: `geometry` checked that inputs have these images, results and filters.
            let slice = |p: *const T, len: usize| unsafe { std::slice::from_raw_parts(p, len) };
            if !to_filter {
                let filters = &b[group * filter_len..(group + 1) * filter_len];
                // SAFETY: the scratch space starts with room for packed filters.
                unsafe {
                    if self.pass == Pass::Forward {
                        let taps = g.taps() as isize;
                        let source = Strided { ptr: filters.as_ptr(), outer: taps, inner: 1 };
                        gemm::pack_a(rows, inner, &source, s.at(0));
                    } else if by_columns {
                        let taps = g.taps() as isize;
                        let source = Strided { ptr: filters.as_ptr(), outer: 1, inner: taps };
                        gemm::pack_a(rows, inner, &source, s.at(0));
                    } else {
                        let source = Exchanged { filters, geometry: g };
                        gemm::pack_a(rows, inner, &source, s.at(0));
                    }
                }
            }
            let run = |task: usize| {
                let mine = s.at((shared + task * per_task) as isize);
                for i in task * n / tasks..(task + 1) * n / tasks {
                    // SAFETY: results are disjoint parts of the new `y` (or of this task's
                    // scratch space), and workspaces are this task's own and long enough.
                    unsafe {
                        match self.pass {
                            Pass::Forward => {
                                let c = y.at(((i * groups + group) * out_len) as isize);
                                let w =
                                    Window { image: slice(image(a, i), image_len), geometry: g };
                                gemm::multiply(dims, s.at(0), &w, c, columns, false, mine);
                            }
                            Pass::ToInput(..) if by_columns => {
                                let (p, w) = (pixels as isize, mine.add(partial));
                                let b = Strided { ptr: out(a, i), outer: 1, inner: p };
                                gemm::multiply(dims, s.at(0), &b, mine, columns, false, w);
                                let all = std::slice::from_raw_parts(mine.cast_const(), result);
                                pool::for_each(g.c, |c| {
                                    let at = (i * groups + group) * image_len + c * hw;
                                    let plane =
                                        std::slice::from_raw_parts_mut(y.at(at as isize), hw);
                                    kernels::add_columns(g, c, all, plane);
                                });
                            }
                            Pass::ToInput(..) => {
                                let c = y.at(((i * groups + group) * image_len) as isize);
                                let b = Spread { out: slice(out(a, i), out_len), geometry: g };
                                gemm::multiply(dims, s.at(0), &b, c, columns, false, mine);
                            }
                            Pass::ToFilter(..) => {
                                let whole = y.at((group * filter_len) as isize);
                                let c = if partial > 0 { mine } else { whole };
                                let first = i == task * n / tasks;
                                let pack = mine.add(partial);
                                let dy =
                                    Strided { ptr: out(b, i), outer: pixels as isize, inner: 1 };
                                gemm::pack_a(rows, inner, &dy, pack);
                                let w =
                                    Window { image: slice(image(a, i), image_len), geometry: g };
                                gemm::multiply(
                                    dims,
                                    pack,
                                    &Taps(w),
                                    c,
                                    columns,
                                    !first,
                                    pack.add(packed),
                                );
                            }
                        }
                    }
                }
            };
            if side_by_side {
                pool::for_each(tasks, run)
            } else {
                run(0)
            }
            if to_filter && partial > 0 {
                for task in 0..tasks {
                    for j in 0..result {
                        // SAFETY: partial results lie at the start of each task's scratch space;
                        // `y`'s filters of this group are written by this thread alone.
                        unsafe {
                            let p = s.at((shared + task * per_task + j) as isize);
                            let c = y.at((group * filter_len + j) as isize);
                            *c = *c + *p;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Filters without their axis of groups: `[groups, k/groups, c/groups, r, s]` as
/// `[k, c/groups, r, s]`.
fn flat_filters(op: &str, weight: &Tensor, groups: usize) -> Result<Tensor> {
    let s = weight.shape();
    match s.len() {
        4 if groups == 1 => Ok(weight.clone()),
        5 if s[0] == groups => reshape(weight, &[s[0] * s[1], s[2], s[3], s[4]]),
        _ => bail!(
            Shape,
            "{op}: weight is {weight}; give [out, in, height, width], or with {groups} groups \
             [{groups}, out/{groups}, in/{groups}, height, width]"
        ),
    }
}

fn with_bias(y: Tensor, bias: Option<&Tensor>, spatial: usize) -> Result<Tensor> {
    let Some(bias) = bias else { return Ok(y) };
    let mut shape = vec![1; spatial + 2];
    shape[1] = y.shape()[1];
    ensure!(
        bias.numel() == shape[1],
        Shape,
        "conv: bias has {} elements but there are {} output channels",
        bias.numel(),
        shape[1]
    );
    add(&y, &reshape(bias, &shape)?)
}

/// Two-dimensional convolution (cross-correlation):
/// `y[n, k, i, j] = b[k] + Σ x[n, c, i·sᵥ − pᵥ + u·dᵥ, j·sₕ − pₕ + v·dₕ]·w[k, c, u, v]`.
///
/// `x` is `[n, c, h, w]`; `weight` `[k, c, r, s]`, or `[groups, k/groups, c/groups, r, s]`; `bias`
/// has k elements in any shape. The result is `[n, k, h', w']`, h' = ⌊(h + 2p − d(r − 1) − 1)/s⌋ + 1.
///
/// # Errors
/// Shape: ranks or channels do not fit, or the filter is larger than the padded image. Value: a
/// stride, a dilation or the groups are 0. Memory: the result cannot be had.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
) -> Result<Tensor> {
    let weight = flat_filters("conv2d", weight, params.groups)?;
    with_bias(apply1(Conv { params, pass: Pass::Forward }, &[x, &weight])?, bias, 2)
}

/// One-dimensional convolution: [`conv2d`] on `[n, c, w]` with `weight` `[k, c, s]`, or
/// `[groups, k/groups, c/groups, s]`; the horizontal parameters count.
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
) -> Result<Tensor> {
    ensure!(x.ndim() == 3, Shape, "conv1d: three dimensions are needed, not {x}");
    ensure!(
        weight.ndim() == if params.groups == 1 { 3 } else { 4 },
        Shape,
        "conv1d: weight is {weight}; give [out, in, width], or with {0} groups [{0}, out/{0}, in/{0}, width]",
        params.groups
    );
    let params = ConvParams {
        stride: (1, params.stride.1),
        padding: (0, params.padding.1),
        dilation: (1, params.dilation.1),
        ..params
    };
    let x = super::expand_dims(x, &[2])?;
    let weight = super::expand_dims(weight, &[-2])?;
    let y = conv2d(&x, &weight, None, params)?;
    with_bias(super::squeeze(&y, Some(&[2]))?, bias, 1)
}

/// Transposed two-dimensional convolution: what [`conv2d`] with the same parameters has as its
/// gradient to the input, so that it undoes its change of shape.
///
/// `x` is `[n, k, h, w]`; `weight` `[k, c, r, s]`, or `[groups, k/groups, c/groups, r, s]`. The
/// result is `[n, c, h', w']`, h' = (h − 1)s − 2p + d(r − 1) + 1 + o with the output padding o.
///
/// # Errors
/// As [`conv2d`]; Value: the output padding is not below the stride.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
    output_padding: (usize, usize),
) -> Result<Tensor> {
    let weight = flat_filters("conv_transpose2d", weight, params.groups)?;
    ensure!(x.ndim() == 4, Shape, "conv_transpose2d: four dimensions are needed, not {x}");
    let extent = |d: usize, s: usize, p: usize, dil: usize, o: usize| -> Result<usize> {
        ensure!(
            o < s.max(dil),
            Value,
            "conv_transpose2d: output padding {o} must be below the stride {s}"
        );
        let grown = x.shape()[d].checked_sub(1).and_then(|n| n.checked_mul(s));
        let reach = weight.shape()[d].checked_sub(1).and_then(|r| r.checked_mul(dil));
        let full = grown.zip(reach).and_then(|(a, b)| a.checked_add(b)?.checked_add(1 + o));
        match full.zip(p.checked_mul(2)).and_then(|(f, p)| f.checked_sub(p)) {
            Some(n) if n > 0 => Ok(n),
            _ => bail!(
                Shape,
                "conv_transpose2d: nothing is left of the result (inp: {x}, weight: {weight}, {params:?})"
            ),
        }
    };
    let (s, p, d) = (params.stride, params.padding, params.dilation);
    let h = extent(2, s.0, p.0, d.0, output_padding.0)?;
    let w = extent(3, s.1, p.1, d.1, output_padding.1)?;
    with_bias(apply1(Conv { params, pass: Pass::ToInput(h, w) }, &[x, &weight])?, bias, 2)
}
