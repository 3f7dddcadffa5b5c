//! Evaluation: by products of matrices, and depthwise.

use super::op::{Conv, Pass};
use super::plan::{Way, way};
use crate::elementwise::Shared;
use crate::op::Op;
use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use tengen_kernels::conv::{self as kernels, Exchanged, Geometry, Real, Spread, Taps, Window};
use tengen_kernels::gemm::{self, Strided};
use tengen_kernels::pool;

/// Products of at least this many steps are shared out each; of smaller ones, images run side by
/// side.
const LARGE: usize = 1 << 23;
/// Groups of images that run side by side; also the number of partial sums of filter gradients,
/// which therefore does not depend on the number of threads.
const CHUNKS: usize = 16;

impl Conv {
    pub(super) fn run<T: Real + Element>(
        &self,
        x: &[&Tensor],
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let (a, b) = (x[0].contiguous()?, x[1].contiguous()?);
        let empty = shape.numel() == 0 || a.numel() == 0 || b.numel() == 0;
        let way = way(self.pass, &g, T::DTYPE);
        if way == Way::Winograd && !empty {
            return self.winograd(&a, &b, g, n, shape);
        }
        if way == Way::Direct && !empty {
            return self.direct::<T>(&a, &b, g, n, shape);
        }
        let y = Tensor::zeros(&shape, T::DTYPE)?;
        if empty {
            return Ok(y);
        }
        let (a, b, c) = (a.as_slice::<T>()?, b.as_slice::<T>()?, Shared(y.ptr::<T>()));
        match way {
            Way::Depthwise => self.depthwise(a, b, c, g, n),
            _ => self.multiply(a, b, c, g, n)?,
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
