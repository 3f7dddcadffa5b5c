//! A plane with zeros around it.

use super::{BLOCK, SLACK};
use crate::conv::{Geometry, Real};
use crate::lanes::{Arch, Kernel, Lane, dispatch};

/// The layout of a padded copy of a plane. A row is `phases` runs of `width` elements: run p has
/// the columns p, p + phases, … of the padded plane.
pub(super) struct Plane {
    /// Height and width of the plane.
    pub source: (usize, usize),
    pub rows: usize,
    pub width: usize,
    pub phases: usize,
    /// Rows above and columns before the plane; negative ones leave out its first.
    pub before: (isize, isize),
}

impl Plane {
    /// All that the windows of a convolution see; `None` if the lengths overflow.
    pub fn of_image(g: &Geometry) -> Option<Plane> {
        let reach = |taps: usize, dilation: usize| taps.saturating_sub(1).checked_mul(dilation);
        let (down, across) = (reach(g.filter.0, g.dilation.0)?, reach(g.filter.1, g.dilation.1)?);
        let rows = g.out.0.checked_sub(1)?.checked_mul(g.stride.0)?.checked_add(down)?;
        let before = (g.padding.0.try_into().ok()?, g.padding.1.try_into().ok()?);
        let plane = Plane {
            source: g.image,
            rows: rows.checked_add(1)?,
            width: g.out.1.checked_add(across / g.stride.1)?,
            phases: g.stride.1,
            before,
        };
        plane.len()?;
        Some(plane)
    }

    /// Elements of a row.
    pub fn row(&self) -> usize {
        self.phases * self.width
    }

    /// Elements of the copy; `None` if there are too many.
    pub fn len(&self) -> Option<usize> {
        let row = self.phases.checked_mul(self.width)?;
        row.checked_mul(self.rows)?.checked_add(SLACK).filter(|n| isize::try_from(*n).is_ok())
    }

    /// Copies a plane to `work`, in which the zeros are already.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn load<T: Real>(&self, source: &[T], work: &mut [T]) {
        assert!(source.len() >= self.source.0 * self.source.1, "depthwise: plane");
        assert!(Some(work.len()) >= self.len(), "depthwise: workspace");
        dispatch(Load { plane: self, source, work });
    }
}

struct Load<'a, T> {
    plane: &'a Plane,
    source: &'a [T],
    work: &'a mut [T],
}

impl<T: Real> Kernel for Load<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Load { plane: p, source, work } = self;
        let (h, w) = p.source;
        let row = p.row();
        let (top, left, step) = (p.before.0, p.before.1, p.phases as isize);
        // The rows of the copy that are rows of the plane.
        let first = top.clamp(0, p.rows as isize);
        let end = (top + h as isize).clamp(first, p.rows as isize);
        for phase in 0..p.phases {
            // Element i of a run is column i·step + before of the plane.
            let before = phase as isize - left;
            let bound = |x: isize| (x - before + step - 1).div_euclid(step);
            let low = bound(0).clamp(0, p.width as isize);
            let high = bound(w as isize).clamp(low, p.width as isize);
            if low == high {
                continue;
            }
            let (n, x) = ((high - low) as usize, (low * step + before) as usize);
            for y in first..end {
                let to = y as usize * row + phase * p.width + low as usize;
                let from = (y - top) as usize * w;
                if p.phases == 1 {
                    let (from, to) = (&source[from + x..][..n], &mut work[to..][..n + SLACK]);
                    // SAFETY: the slices have these lengths, and no register is wider than the
                    // slack. Rows are copied in order, so that zeros come before elements.
                    unsafe { copy::<T::Lane<A>>(from.as_ptr(), n, to.as_mut_ptr()) };
                    continue;
                }
                let (from, to) = (&source[from + x..from + w], &mut work[to..to + n]);
                if p.phases == 2 {
                    let blocks = from.as_chunks::<BLOCK>().0;
                    for (to, from) in to.as_chunks_mut::<{ BLOCK / 2 }>().0.iter_mut().zip(blocks) {
                        for i in 0..BLOCK / 2 {
                            to[i] = from[2 * i];
                        }
                    }
                    let done = blocks.len().min(to.len() / (BLOCK / 2)) * (BLOCK / 2);
                    let rest = from[2 * done..].iter().step_by(2);
                    to[done..].iter_mut().zip(rest).for_each(|(to, v)| *to = *v);
                    continue;
                }
                to.iter_mut().zip(from.iter().step_by(p.phases)).for_each(|(to, v)| *to = *v);
            }
        }
    }
}

/// Copies a row of `n` elements, and zeros after it up to a whole register: those places are zeros
/// already, of a later row, or in the slack. A call of the system's copy would cost more, and what
/// a masked store wrote is slow to read back.
///
/// # Safety
/// `from` has `n` elements; `to` has `n` and a register's worth more.
#[inline(always)]
unsafe fn copy<L: Lane>(from: *const L::T, n: usize, to: *mut L::T) {
    let whole = n - n % L::W;
    for i in (0..whole).step_by(L::W) {
        // SAFETY: as the caller promises, as a register fits below `whole`.
        unsafe { L::load(from.add(i)).store(to.add(i)) };
    }
    if whole < n {
        // SAFETY: as the caller promises.
        unsafe { L::load_n(from.add(whole), n - whole).store(to.add(whole)) };
    }
}
