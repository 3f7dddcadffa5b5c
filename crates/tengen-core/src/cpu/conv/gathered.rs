//! Evaluation by products with gathered windows.

use crate::cpu::matmul::product;
use crate::ops::conv::{Conv, Pass};
use crate::ops::{reshape, swapaxes, transpose};
use crate::shape::Shape;
use crate::{Element, Result, Tensor};
use std::ops::Range;
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::pool::{self, Shared};
use tengen_kernels::windows::{Order, Place, Windows};
use tengen_kernels::{gemm, lanes};

/// Elements of gathered windows in a block, where positions are not too few: they stay in the
/// last-level cache.
const BLOCK: usize = 1 << 20;
/// The fewest positions of a block, by which packing the filters is paid for.
const POSITIONS: usize = 128;
/// Elements per task.
const TASK: usize = 1 << 14;

/// Numbers that are convolved by products.
pub(super) trait Product: Real + Element + gemm::Element<Self> + lanes::Float {}
impl<T: Real + Element + gemm::Element<T>> Product for T {}

/// Some rows of positions of each of some images.
#[derive(Clone)]
struct Block {
    images: Range<usize>,
    rows: Range<usize>,
}

impl Block {
    /// All blocks: several images, or a part of one.
    fn all(g: &Geometry, n: usize, groups: usize) -> Vec<Block> {
        let most = (BLOCK / (groups * g.taps())).max(POSITIONS);
        let images = (most / g.pixels()).clamp(1, n);
        let rows = (most / g.out.1).clamp(1, g.out.0);
        // Parts of nearly the same length.
        let part = |n: usize, parts: usize, i: usize| i * n / parts..(i + 1) * n / parts;
        let (outer, inner) = (n.div_ceil(images), g.out.0.div_ceil(rows));
        let blocks = (0..outer).flat_map(|i| (0..inner).map(move |j| (i, j)));
        blocks
            .map(|(i, j)| Block { images: part(n, outer, i), rows: part(g.out.0, inner, j) })
            .collect()
    }

    fn positions(&self, g: &Geometry) -> usize {
        self.images.len() * self.rows.len() * g.out.1
    }
}

/// Which way results, or gradients to them, are copied.
#[derive(Clone, Copy, PartialEq)]
enum Copy {
    /// From images to a block.
    Collect,
    /// From a block to images.
    Spread,
}

/// A convolution by blocks of gathered windows.
struct Gathered<'a> {
    g: &'a Geometry,
    groups: usize,
    windows: Windows,
}

impl Gathered<'_> {
    /// The windows of a block, `[groups, taps, positions]`.
    fn windows<T: Product>(&self, a: &Tensor, block: &Block) -> Result<Tensor> {
        let positions = block.positions(self.g);
        let matrix = self.matrix::<T>(positions)?;
        let (to, image) = (Shared(matrix.ptr::<T>()), Shared(a.ptr::<T>()));
        self.for_planes(block, |group, i, channels, place| {
            let image = image.at((i * self.groups + group) * self.g.image_len()).cast_const();
            let to = to.at(group * self.g.taps() * positions);
            // SAFETY: the image exists, the matrix is new and has these positions, and each task has
            // channels and positions of its own.
            unsafe { self.windows.gather(image, channels, block.rows.clone(), to, place) };
        });
        self.as_taps(matrix)
    }

    /// Adds windows, as they lie in memory, to the images.
    fn add<T: Product>(&self, matrix: &Tensor, block: &Block, images: &Tensor) {
        let positions = block.positions(self.g);
        let (from, image) = (Shared(matrix.ptr::<T>()), Shared(images.ptr::<T>()));
        self.for_planes(block, |group, i, channels, place| {
            let image = image.at((i * self.groups + group) * self.g.image_len());
            let from = from.at(group * self.g.taps() * positions).cast_const();
            // SAFETY: the images are new and initialised, the matrix has these positions, and each
            // task has channels of an image of its own.
            unsafe { self.windows.add(from, place, channels, block.rows.clone(), image) };
        });
    }

    /// A new matrix for so many positions, as it lies in memory.
    fn matrix<T: Product>(&self, positions: usize) -> Result<Tensor> {
        Tensor::empty(self.extents(positions)?, T::DTYPE)
    }

    fn extents(&self, positions: usize) -> Result<Shape> {
        match self.windows.order() {
            Order::Taps => Shape::new(&[self.groups, self.g.taps(), positions]),
            Order::Positions => Shape::new(&[self.groups, positions, self.g.taps()]),
        }
    }

    /// A matrix as `[groups, taps, positions]`.
    fn as_taps(&self, matrix: Tensor) -> Result<Tensor> {
        match self.windows.order() {
            Order::Taps => Ok(matrix),
            Order::Positions => swapaxes(&matrix, 1, 2),
        }
    }

    /// Calls `f(group, image, channels, place)` for all of a block, on several threads.
    fn for_planes(&self, block: &Block, f: impl Fn(usize, usize, Range<usize>, Place) + Sync) {
        let g = self.g;
        let (all, each) = (block.positions(g), block.rows.len() * g.out.1);
        let channels = (TASK / (each * g.filter.0 * g.filter.1)).clamp(1, g.c);
        let cuts = g.c.div_ceil(channels);
        pool::for_each(block.images.len() * self.groups * cuts, |task| {
            let (plane, cut) = (task / cuts, task % cuts);
            let (i, group) = (plane / self.groups, plane % self.groups);
            let channels = cut * channels..g.c.min((cut + 1) * channels);
            f(group, block.images.start + i, channels, Place { all, at: i * each });
        });
    }

    /// Copies between `all`, `[n, groups · k, oh, ow]`, and `part`, `[groups, k, positions]`.
    fn copy<T: Product>(&self, block: &Block, all: &Tensor, part: &Tensor, way: Copy) {
        let (g, ow) = (self.g, self.g.out.1);
        let (rows, images) = (block.rows.len() * ow, block.images.len());
        let planes = self.groups * g.k;
        let (all, part) = (Shared(all.ptr::<T>()), Shared(part.ptr::<T>()));
        pool::for_ranges(planes, TASK.div_ceil(rows * images), |from, to| {
            for (plane, i) in (from..to).flat_map(|plane| (0..images).map(move |i| (plane, i))) {
                let image = (block.images.start + i) * planes + plane;
                let there = all.at(image * g.pixels() + block.rows.start * ow);
                let here = part.at((plane * images + i) * rows);
                let (from, to) = if way == Copy::Collect { (there, here) } else { (here, there) };
                // SAFETY: both have these rows, and the one that is written is new; each task has
                // planes of its own.
                unsafe { to.copy_from_nonoverlapping(from.cast_const(), rows) };
            }
        });
    }

    /// A block of `dy`, `[groups, k, positions]`.
    fn gradients<T: Product>(&self, dy: &Tensor, block: &Block) -> Result<Tensor> {
        let part = Shape::new(&[self.groups, self.g.k, block.positions(self.g)])?;
        let part = Tensor::empty(part, T::DTYPE)?;
        self.copy::<T>(block, dy, &part, Copy::Collect);
        Ok(part)
    }
}

impl Conv {
    /// By products with gathered windows, block by block; `a` and `b` are contiguous and not empty.
    pub(super) fn gathered<T: Product>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let groups = self.params.groups;
        let (a, b) = (a.detach(), b.detach());
        if g.is_one_window() {
            return self.one_window::<T>(&a, &b, g, n, shape);
        }
        let by = Gathered { g: &g, groups, windows: Windows::new(&g) };
        let filters = Shape::new(&[groups, g.k, g.taps()])?;
        let blocks = Block::all(&g, n, groups);
        match self.pass {
            Pass::Forward => {
                let (y, filters) = (Tensor::empty(shape, T::DTYPE)?, reshape(&b, &filters)?);
                for block in &blocks {
                    let windows = by.windows::<T>(&a, block)?;
                    let part = Shape::new(&[groups, g.k, block.positions(&g)])?;
                    let part = product::<T, T>(&filters, &windows, part)?;
                    by.copy::<T>(block, &y, &part, Copy::Spread);
                }
                Ok(y)
            }
            Pass::ToInput(..) => {
                let (dx, filters) = (Tensor::zeros(&shape, T::DTYPE)?, reshape(&b, &filters)?);
                for block in &blocks {
                    let dy = by.gradients::<T>(&a, block)?;
                    let extents = by.extents(block.positions(&g))?;
                    let windows = match by.windows.order() {
                        Order::Taps => product::<T, T>(&swapaxes(&filters, 1, 2)?, &dy, extents),
                        Order::Positions => {
                            product::<T, T>(&swapaxes(&dy, 1, 2)?, &filters, extents)
                        }
                    }?;
                    by.add::<T>(&windows, block, &dx);
                }
                Ok(dx)
            }
            Pass::ToFilter(..) => {
                let mut sum: Option<Tensor> = None;
                for block in &blocks {
                    let windows = swapaxes(&by.windows::<T>(&a, block)?, 1, 2)?;
                    let part = product::<T, T>(&by.gradients::<T>(&b, block)?, &windows, filters)?;
                    sum = Some(match sum {
                        Some(sum) => crate::ops::add(&sum, &part)?,
                        None => part,
                    });
                }
                reshape(&sum.map_or_else(|| Tensor::zeros(&filters, T::DTYPE), Ok)?, &shape)
            }
        }
    }

    /// The same where the window has one position and covers the image: then images are windows as
    /// they lie.
    fn one_window<T: Product>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let (groups, k, taps) = (self.params.groups, g.k, g.taps());
        // `[n, groups · rest, 1, 1]`, or images, as `[groups, n, rest]`.
        let by_groups = |x: &Tensor, rest| swapaxes(&reshape(x, &[n, groups, rest])?, 0, 1);
        let multiply = |a: &Tensor, b: &Tensor| {
            product::<T, T>(a, b, Shape::new(&[groups, a.shape()[1], b.shape()[2]])?)
        };
        let filters = |b: &Tensor| reshape(b, &[groups, k, taps]);
        let y = match self.pass {
            Pass::Forward => multiply(&by_groups(a, taps)?, &swapaxes(&filters(b)?, 1, 2)?)?,
            Pass::ToInput(..) => multiply(&by_groups(a, k)?, &filters(b)?)?,
            Pass::ToFilter(..) => {
                let dy = transpose(&reshape(b, &[n, groups, k])?, &[1, 2, 0])?;
                return reshape(&multiply(&dy, &by_groups(a, taps)?)?, &shape);
            }
        };
        reshape(&swapaxes(&y, 0, 1)?.contiguous()?, &shape)
    }
}
