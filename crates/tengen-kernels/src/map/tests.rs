//! Maps whose results go past the caches give the same results, and write nothing beside them.

use super::{Dst, Map, Src, backward, forward};
use crate::lanes::{Num, Operand, available, with_isa};
use half::{bf16, f16};

/// a·b, rounded once.
#[derive(Clone, Copy)]
pub(super) struct Product;
impl Map<2> for Product {
    #[inline(always)]
    fn f<L: Num>(&self, [x, y]: [L; 2]) -> L {
        x.mul(y)
    }
    #[inline(always)]
    fn df<L: Num>(&self, [x, y]: [L; 2], dy: L) -> [L; 2] {
        [dy.mul(y), dy.mul(x)]
    }
}

/// What lies around the results.
const ROOM: usize = 64;

fn results<T: Operand + PartialEq>(x: &[T], at: usize, past: bool) -> [Vec<T>; 3] {
    let n = x.len();
    let src = |single| Src { ptr: x.as_ptr(), single };
    [0, 1, 2].map(|what| {
        let mut room = vec![x[n - 1]; n + 2 * ROOM];
        let first = room.as_ptr().align_offset(64) + at;
        // SAFETY: there is room for `n` elements from the first multiple of 64, and for `at` more.
        unsafe {
            let y = room.as_mut_ptr().add(first);
            let to = |k| if what == k { Dst::Store(y) } else { Dst::Skip };
            match what {
                0 => forward(&Product, [src(false), src(true)], y, n, past),
                _ => {
                    let xs = [src(false), src(false)];
                    backward(&Product, xs, src(true), [to(1), to(2)], n, past);
                }
            }
        }
        assert!(room.drain(..first).all(|v| v == x[n - 1]), "something before the results");
        room
    })
}

fn same<T: Operand + PartialEq + std::fmt::Debug>(of: fn(f64) -> T) {
    for isa in available() {
        for n in [1, 15, 16, 32, 33, 64, 100, 1000] {
            let x: Vec<T> = (0..n).map(|i| of(1.5 + i as f64 / 8.0)).collect();
            for at in [0, 1, 8] {
                with_isa(*isa, || {
                    let (near, far) = (results(&x, at, false), results(&x, at, true));
                    for what in 0..3 {
                        let n = far[what].len().min(near[what].len());
                        assert_eq!(near[what][..n], far[what][..n], "{isa:?} {n} {at} {what}");
                    }
                });
            }
        }
    }
}

#[test]
fn maps_past_the_caches_are_the_same_maps() {
    same(|v| v as f32);
    same(|v| v);
    same(f16::from_f64);
    same(bf16::from_f64);
    assert_eq!(results(&[2.0f32, 3.0], 0, true)[0][..2], [4.0, 6.0]);
}
