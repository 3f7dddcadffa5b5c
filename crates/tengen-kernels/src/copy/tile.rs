//! Copies that transpose.

use super::{Dim, Odometer, copy_row};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch, prefetch};

/// Rows and columns of a tile.
const TILE: usize = 32;

/// Copies a block whose first dimension has the smallest source stride and whose last has the
/// smallest destination stride: tile by tile through a buffer, so that neither side is touched
/// with a large stride in its inner loop.
///
/// # Safety
/// As for [`CopyPlan::run`], for the elements of `block`.
pub(super) unsafe fn copy_tiled<T: Copy>(block: &[Dim], src: *const T, dst: *mut T) {
    let (Some((&near, rest)), Some(&last)) = (block.split_first(), block.last()) else { return };
    let middle = &rest[..rest.len() - 1];
    let mut at = Odometer::at(middle, 0);
    for _ in 0..middle.iter().map(|d| d.n).product() {
        for j in (0..near.n).step_by(TILE) {
            let rows = Dim { n: TILE.min(near.n - j), ..near };
            for i in (0..last.n).step_by(TILE) {
                let cols = Dim { n: TILE.min(last.n - i), ..last };
                let (j, i) = (j as isize, i as isize);
                // SAFETY: the tile starts at these offsets and lies within the block.
                unsafe {
                    let src = src.offset(at.src + j * near.src + i * last.src);
                    let dst = dst.offset(at.dst + j * near.dst + i * last.dst);
                    copy_tile(rows, cols, src, dst);
                }
            }
        }
        at.step(middle);
    }
}

/// # Safety
/// As for [`CopyPlan::run`], for the elements of `rows` of `cols`; neither has more than [`TILE`].
unsafe fn copy_tile<T: Copy>(rows: Dim, cols: Dim, src: *const T, dst: *mut T) {
    // SAFETY: every offset is that of an element of the tile.
    unsafe {
        if rows.src == 1 && cols.dst == 1 {
            // Bits stay what they are when lanes load, move and store them.
            let whole = match size_of::<T>() {
                4 => dispatch(Squares { rows, cols, src: src.cast::<f32>(), dst: dst.cast() }),
                8 => dispatch(Squares { rows, cols, src: src.cast::<f64>(), dst: dst.cast() }),
                _ => None,
            };
            if let Some((r, c)) = whole {
                let (below, beside) =
                    (Dim { n: rows.n - r, ..rows }, Dim { n: cols.n - c, ..cols });
                let right = Dim { n: r, ..rows };
                let (r, c) = (r as isize, c as isize);
                copy_lines(right, beside, src.offset(c * cols.src), dst.offset(c));
                copy_lines(below, cols, src.offset(r), dst.offset(r * rows.dst));
                return;
            }
            if rows.n == TILE && cols.n == TILE {
                return copy_buffered(rows, cols, src, dst);
            }
        }
        copy_lines(rows, cols, src, dst);
    }
}

/// # Safety
/// As for [`copy_tile`].
unsafe fn copy_lines<T: Copy>(rows: Dim, cols: Dim, src: *const T, dst: *mut T) {
    for j in 0..rows.n as isize {
        // SAFETY: row j starts at these offsets.
        unsafe { copy_row(cols, src.offset(j * rows.src), dst.offset(j * rows.dst)) };
    }
}

/// # Safety
/// As for [`copy_tile`], for a tile of full size with runs on both sides.
unsafe fn copy_buffered<T: Copy>(rows: Dim, cols: Dim, src: *const T, dst: *mut T) {
    // SAFETY: every offset is that of a run of the tile.
    unsafe {
        let mut buffer = [[*src; TILE]; TILE];
        for (i, line) in buffer.iter_mut().enumerate() {
            *line = *src.offset(i as isize * cols.src).cast::<[T; TILE]>();
        }
        for j in 0..TILE {
            let dst =
                &mut *dst.offset(j as isize * rows.dst).cast::<[std::mem::MaybeUninit<T>; TILE]>();
            for (to, line) in dst.iter_mut().zip(&buffer) {
                to.write(line[j]);
            }
        }
    }
}

/// Transposes the whole squares of registers of a tile with runs on both sides, whose elements are
/// valid as [`copy_tile`] says. Gives how many rows and columns that were; nothing where a register
/// is one element.
struct Squares<T> {
    rows: Dim,
    cols: Dim,
    src: *const T,
    dst: *mut T,
}

impl<T: Float> Kernel for Squares<T> {
    type Output = Option<(usize, usize)>;
    #[inline(always)]
    fn run<A: Arch>(self) -> Option<(usize, usize)> {
        let Squares { rows, cols, src, dst } = self;
        let w = <T::Lane<A> as Lane>::W;
        if w == 1 {
            return None;
        }
        let (r, c) = (rows.n - rows.n % w, cols.n - cols.n % w);
        for i in (0..c).step_by(w) {
            for j in (0..r).step_by(w) {
                let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                for k in 0..16 {
                    if k < w {
                        let from = src.wrapping_offset((i + k) as isize * cols.src + j as isize);
                        // The next tile's elements of this run.
                        prefetch(from.wrapping_add(TILE));
                        // SAFETY: `w` elements of a run of the tile.
                        square[k] = unsafe { Lane::load(from) };
                    }
                }
                Lane::transpose(&mut square);
                for k in 0..16 {
                    if k < w {
                        let to = dst.wrapping_offset((j + k) as isize * rows.dst + i as isize);
                        // SAFETY: `w` elements of a run of the tile.
                        unsafe { square[k].store(to) };
                    }
                }
            }
        }
        Some((r, c))
    }
}
