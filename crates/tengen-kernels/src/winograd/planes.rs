//! Planes of pixels to transformed tiles, and products back to planes.

use super::tiles::{Layout, POINTS, Segment, Tiles};
use super::transform::{both_axes, input, output, output_transposed, turn};
use crate::epilogue::Epilogue;
use crate::lanes::{Arch, Kernel, Lane};
use std::ops::Range;

/// A batch of images of `channels` planes.
#[derive(Clone, Copy)]
pub(super) struct Planes<P> {
    pub ptr: P,
    /// Elements from one image to the next.
    pub step: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// Elements of scratch space for rows of pixels of at most `tiles` tiles.
pub(super) fn rows_len(tiles: usize, width: usize) -> usize {
    6 * row_len(tiles, width)
}

/// A row of pixels starts with up to two zeros and is written a register's worth at a time.
fn row_len(tiles: usize, width: usize) -> usize {
    (4 * tiles + 4 + width) * width
}

/// The transform of windows of `I`×`I` pixels, at steps of 4.
pub(super) struct ToTiles<const I: usize> {
    pub planes: Planes<*const f32>,
    /// Zeros above and to the left of the planes.
    pub padding: (usize, usize),
    pub tiles: Tiles,
    pub range: Range<usize>,
    /// Registers of channels.
    pub registers: Range<usize>,
    pub layout: Layout,
    /// Of the layout, for the tiles of the range.
    pub out: *mut f32,
    /// Scratch space of [`rows_len`].
    pub rows: *mut f32,
}

impl<const I: usize> Kernel for ToTiles<I> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // SAFETY: the caller gave planes, layout and scratch space for these tiles and channels.
        unsafe { self.transform::<A::F32>() }
    }
}

impl<const I: usize> ToTiles<I> {
    #[inline(always)]
    unsafe fn transform<L: Lane<T = f32>>(self) {
        for register in self.registers.clone() {
            let (mut at, mut last) = (0, None);
            while let Some(s) = self.tiles.segment(&self.range, at) {
                at += s.n;
                // Below the row before, only the last rows of pixels are new. A row keeps its
                // place, so that the others stay where they are.
                let below = |l: Segment| Segment { y: l.y + 1, at: s.at, ..l } == s;
                let held = if last.is_some_and(below) { I - 4 } else { 0 };
                last = Some(s);
                let stride = row_len(s.n, L::W);
                let mut rows = [self.rows; I];
                for (i, row) in rows.iter_mut().enumerate() {
                    // SAFETY: I ≤ 6 rows.
                    *row = unsafe { self.rows.add((4 * s.y + i) % I * stride) };
                    if i >= held {
                        // SAFETY: as for `run`.
                        unsafe { self.load_row::<L>(&s, i, register, *row) };
                    }
                }
                let out = self.out.wrapping_add(self.layout.at(register, s.at, L::W));
                for t in 0..s.n {
                    let out = out.wrapping_add(t * self.layout.group * L::W);
                    // SAFETY: the rows have 4·n + I − 4 pixels, and the layout has the tile.
                    unsafe {
                        both_axes!(window, L, I => 6,
                            |r, c| L::load(rows[r].add((4 * t + c) * L::W)),
                            |y, x, v| v.store(out.add((6 * y + x) * self.layout.point)));
                    }
                }
            }
        }
    }
}

/// The transform of a window along one axis: of 6 pixels of an image, or of 4 gradients.
#[inline(always)]
fn window<L: Lane<T = f32>, const I: usize>(d: [L; I]) -> [L; 6] {
    if I == 6 {
        input([d[0], d[1], d[2], d[3], d[4], d[5]])
    } else {
        output_transposed([d[0], d[1], d[2], d[3]])
    }
}

impl<const I: usize> ToTiles<I> {
    /// Row `i` of the windows of a segment, as `[pixel][channel]`.
    #[inline(always)]
    unsafe fn load_row<L: Lane<T = f32>>(
        &self,
        s: &Segment,
        i: usize,
        register: usize,
        row: *mut f32,
    ) {
        let p = &self.planes;
        let zero = L::splat(0.0);
        let pixels = 4 * s.n + I - 4;
        let (top, left) = self.padding;
        let (y, x) = ((4 * s.y + i) as isize - top as isize, (4 * s.x) as isize - left as isize);
        // The row starts at pixel x of the plane.
        let inside = (0..p.height as isize).contains(&y);
        let first = (-x).max(0) as usize;
        let end =
            if inside { (p.width as isize - x).clamp(0, pixels as isize) as usize } else { 0 };
        let channels = p.channels.saturating_sub(register * L::W).min(L::W);
        let plane = p.height * p.width;
        // SAFETY: `first..end` of the row lie inside the planes; at most a register's worth of
        // pixels is written beyond `pixels`, which `row_len` has room for.
        unsafe {
            for j in 0..first.min(pixels) {
                zero.store(row.add(j * L::W));
            }
            let mut done = first;
            while done < end {
                let from = s.image * p.step + register * L::W * plane + y as usize * p.width;
                let from = p.ptr.add(from).offset(x + done as isize);
                let n = (end - done).min(L::W);
                let to = row.add(done * L::W);
                // One copy of the code per case keeps the square in registers.
                if channels < L::W {
                    turn!(
                        L,
                        |j| if j < channels { L::load_n(from.add(j * plane), n) } else { zero },
                        |j, v| v.store(to.add(j * L::W))
                    );
                } else if n < L::W {
                    turn!(L, |j| L::load_n(from.add(j * plane), n), |j, v| v
                        .store(to.add(j * L::W)));
                } else {
                    turn!(L, |j| L::load(from.add(j * plane)), |j, v| v.store(to.add(j * L::W)));
                }
                done += L::W;
            }
            for j in done..pixels {
                zero.store(row.add(j * L::W));
            }
        }
    }
}

/// Products back to pixels, which the epilogue sees before they are stored.
pub(super) struct FromTiles<'a> {
    /// `[register][tile][product][width]`, of `layout_tiles` tiles.
    pub products: *const f32,
    pub layout_tiles: usize,
    pub tiles: Tiles,
    pub range: Range<usize>,
    /// The first register of channels, and how many.
    pub first: usize,
    pub registers: usize,
    pub planes: Planes<*mut f32>,
    pub epilogue: Epilogue<'a, f32>,
    /// Scratch space of [`rows_len`].
    pub rows: *mut f32,
}

impl Kernel for FromTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // SAFETY: the caller gave products, planes and scratch space for these tiles and channels.
        unsafe { self.transform::<A::F32>() }
    }
}

impl FromTiles<'_> {
    #[inline(always)]
    unsafe fn transform<L: Lane<T = f32>>(self) {
        for register in 0..self.registers {
            let mut at = 0;
            while let Some(s) = self.tiles.segment(&self.range, at) {
                at += s.n;
                let stride = row_len(s.n, L::W);
                for t in 0..s.n {
                    let tile = register * self.layout_tiles + s.at + t;
                    // SAFETY: the products of this tile; 4 rows of 4·n pixels.
                    unsafe {
                        let products = self.products.add(tile * POINTS * L::W);
                        both_axes!(output, L, 6 => 4,
                            |r, c| L::load(products.add((6 * r + c) * L::W)),
                            |y, x, v| v.store(self.rows.add(y * stride + (4 * t + x) * L::W)));
                    }
                }
                for i in 0..4.min(self.planes.height - 4 * s.y) {
                    // SAFETY: rows of results inside the planes.
                    unsafe { self.store_row::<L>(&s, i, self.first + register, stride) };
                }
            }
        }
    }

    /// Stores row `i` of a segment's results.
    #[inline(always)]
    unsafe fn store_row<L: Lane<T = f32>>(
        &self,
        s: &Segment,
        i: usize,
        register: usize,
        stride: usize,
    ) {
        let p = &self.planes;
        let pixels = (4 * s.n).min(p.width - 4 * s.x);
        let first = register * L::W;
        let channels = p.channels.saturating_sub(first).min(L::W);
        let plane = p.height * p.width;
        let start = s.image * p.step + first * plane + (4 * s.y + i) * p.width + 4 * s.x;
        let plain = self.epilogue.is_none();
        for done in (0..pixels).step_by(L::W) {
            let n = (pixels - done).min(L::W);
            // SAFETY: the scratch rows have room for a register beyond their pixels, and `n` pixels
            // of these channels lie inside the planes.
            unsafe {
                let from = self.rows.add(i * stride + done * L::W);
                let to = p.ptr.add(start + done);
                // One copy of the code per case keeps the square in registers.
                if !plain || channels < L::W {
                    turn!(L, |j| L::load(from.add(j * L::W)), |j, v| if j < channels {
                        let v = self.epilogue.apply(v, first + j, (start + done + j * plane, 1), n);
                        v.store_n(to.add(j * plane), n)
                    });
                } else if n < L::W {
                    turn!(L, |j| L::load(from.add(j * L::W)), |j, v| v
                        .store_n(to.add(j * plane), n));
                } else {
                    turn!(L, |j| L::load(from.add(j * L::W)), |j, v| v.store(to.add(j * plane)));
                }
            }
        }
    }
}
