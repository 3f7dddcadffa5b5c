//! Copies of long runs.

use crate::lanes::{Arch, Kernel, Lane, dispatch, fence};

struct Run {
    src: *const u8,
    dst: *mut u8,
    bytes: usize,
    past: bool,
}

/// What the largest register holds.
const ALIGN: usize = 64;

impl Kernel for Run {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Run { src, dst, bytes, past } = self;
        // Registers of more than one number may be read from any address.
        let head = dst.align_offset(ALIGN);
        if A::F32::W == 1 || bytes < head + 4 * ALIGN {
            // SAFETY: `copy_run`'s contract.
            return unsafe { src.copy_to_nonoverlapping(dst, bytes) };
        }
        let step = 4 * A::F32::W * size_of::<f32>();
        let mut i = head;
        // SAFETY: `copy_run`'s contract; all offsets are below `bytes`, and those of registers in
        // `dst` are multiples of their size.
        unsafe {
            src.copy_to_nonoverlapping(dst, head);
            while i + step <= bytes {
                let (from, to) = (src.add(i).cast::<f32>(), dst.add(i).cast::<f32>());
                let values: [A::F32; 4] =
                    std::array::from_fn(|k| Lane::load(from.wrapping_add(k * A::F32::W)));
                for k in 0..4 {
                    let to = to.add(k * A::F32::W);
                    if past { values[k].stream(to) } else { values[k].store(to) }
                }
                i += step;
            }
            src.add(i).copy_to_nonoverlapping(dst.add(i), bytes - i);
        }
        if past {
            fence();
        }
    }
}

/// Copies `n` elements; `past` the caches, where the machine can.
///
/// # Safety
/// `src` is readable and `dst` writable for `n` elements, and they do not overlap.
#[inline]
pub(super) unsafe fn copy_run<T: Copy>(src: *const T, dst: *mut T, n: usize, past: bool) {
    let bytes = n * size_of::<T>();
    dispatch(Run { src: src.cast(), dst: dst.cast(), bytes, past });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    #[test]
    fn runs_of_any_length_and_place_are_copied_and_nothing_else() {
        let src: Vec<u8> = (0..3000).map(|i| (i % 251) as u8).collect();
        for isa in available() {
            for past in [false, true] {
                for n in [0, 1, 63, 64, 255, 256, 319, 320, 511, 1000, 2049] {
                    for (from, to) in [(0, 0), (1, 0), (0, 1), (7, 33), (64, 63)] {
                        let mut dst = vec![255u8; 2200];
                        // SAFETY: both have room for `n` bytes from there.
                        with_isa(*isa, || unsafe {
                            copy_run(src.as_ptr().add(from), dst.as_mut_ptr().add(to), n, past)
                        });
                        assert_eq!(dst[to..to + n], src[from..from + n], "{isa:?} {n}");
                        let rest = dst[..to].iter().chain(&dst[to + n..]);
                        assert!(rest.into_iter().all(|v| *v == 255), "{isa:?} {n} {from} {to}");
                    }
                }
            }
        }
    }
}
