use super::*;
use crate::lanes::{available, with_isa, with_plain_isa};
use crate::pool;

/// All extents of a product that has a tail somewhere.
const EXTENTS: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (3, 5, 7),
    (4, 8, 4),
    (14, 32, 64),
    (15, 33, 65),
    (13, 31, 62),
    (29, 70, 130),
    (6, 16, 4096),
    (17, 40, 4099),
    (15, 2053, 9),
    (30, 35, 8195),
    (5, 7, 0),
];

/// Bytes of which the extremes are frequent.
fn bytes(n: usize, seed: u64) -> Vec<u8> {
    let mut s = seed;
    let mut next = || {
        s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        s >> 40
    };
    (0..n)
        .map(
            |_| {
                if next() % 4 == 0 { [0, 127, 128, 255][next() as usize % 4] } else { next() as u8 }
            },
        )
        .collect()
}

/// A and B as bytes, and whether they lie transposed.
struct Case {
    extents: (usize, usize, usize),
    a: Vec<u8>,
    b: Vec<u8>,
    transposed: (bool, bool),
    accumulate: bool,
}

impl Case {
    fn new((m, n, k): (usize, usize, usize), bits: u32) -> Self {
        Case {
            extents: (m, n, k),
            a: bytes(m * k, 1),
            b: bytes(k * n, 2),
            transposed: (bits & 1 != 0, bits & 2 != 0),
            accumulate: bits & 4 != 0,
        }
    }

    fn operands<X, Y>(&self) -> (Strided<X>, Strided<Y>) {
        let (m, n, k) = self.extents;
        let strides = |first: bool, long: usize| {
            if first { (1, long as isize) } else { (k as isize, 1) }
        };
        let (a, b) = (strides(self.transposed.0, m), strides(!self.transposed.1, n));
        (
            Strided { ptr: self.a.as_ptr().cast(), outer: a.0, inner: a.1 },
            Strided { ptr: self.b.as_ptr().cast(), outer: b.0, inner: b.1 },
        )
    }

    fn product<X: Byte, Y: Byte>(&self) -> Vec<i32> {
        let (m, n, k) = self.extents;
        let (a, b) = self.operands::<X, Y>();
        let mut packed = vec![7; packed_len(m, k)];
        let mut work = vec![7; workspace_len(n, k)];
        // Rows lie further apart than they are long.
        let ldc = n + 3;
        let mut c = vec![-5; m * ldc];
        // SAFETY: the vectors have the lengths that the functions ask for.
        unsafe {
            pack_a::<X, Y>((m, k), a, packed.as_mut_ptr());
            let (c, work) = ((c.as_mut_ptr(), ldc), work.as_mut_ptr());
            multiply::<X, Y>(self.extents, packed.as_ptr(), b, c, self.accumulate, work);
        }
        for row in c.chunks(ldc) {
            assert_eq!(row[n..], [-5; 3], "what lies beside C is not touched");
        }
        c.chunks(ldc).flat_map(|row| row[..n].to_vec()).collect()
    }

    fn definition<X: Byte, Y: Byte>(&self) -> Vec<i32> {
        let (m, n, k) = self.extents;
        let (a, b) = self.operands::<X, Y>();
        let value = |x: u8, signed: bool| if signed { (x as i8).into() } else { i32::from(x) };
        let at = |x: &[u8], (outer, inner): (isize, isize), i: usize, p: usize| {
            x[(i as isize * outer + p as isize * inner) as usize]
        };
        (0..m * n)
            .map(|c| {
                (0..k).fold(if self.accumulate { -5 } else { 0i32 }, |sum, p| {
                    let x = value(at(&self.a, (a.outer, a.inner), c / n, p), X::SIGNED);
                    let y = value(at(&self.b, (b.outer, b.inner), c % n, p), Y::SIGNED);
                    sum.wrapping_add(x * y)
                })
            })
            .collect()
    }

    fn check<X: Byte, Y: Byte>(&self, want: &[i32]) {
        assert!(
            self.product::<X, Y>() == want,
            "{:?} {:?}, transposed {:?}, accumulating {}, signed {} {}",
            Method::new(),
            self.extents,
            self.transposed,
            self.accumulate,
            X::SIGNED,
            Y::SIGNED
        );
    }
}

#[test]
fn products_are_exact_by_every_method() {
    for extents in EXTENTS {
        for bits in 0..8 {
            let case = Case::new(extents, bits);
            let mixed = case.definition::<u8, i8>();
            let swapped = case.definition::<i8, u8>();
            let signed = case.definition::<i8, i8>();
            let check = || {
                case.check::<u8, i8>(&mixed);
                case.check::<i8, u8>(&swapped);
                case.check::<i8, i8>(&signed);
            };
            for isa in available() {
                with_isa(*isa, check);
                with_plain_isa(*isa, check);
            }
        }
    }
}

#[test]
fn products_do_not_depend_on_the_number_of_threads() {
    let case = Case::new((150, 200, 5000), 0);
    let before = pool::threads();
    let at = |threads| {
        pool::set_threads(threads);
        case.product::<i8, i8>()
    };
    for isa in available() {
        with_isa(*isa, || assert!(at(1) == at(2)));
    }
    pool::set_threads(before);
}

#[test]
fn the_extremes_do_not_saturate() {
    for (a, b) in [(0x80, 0x80), (0x80, 0x7f), (0xff, 0x80), (0x7f, 0x80), (0xff, 0x7f)] {
        let mut case = Case::new((15, 33, 4100), 0);
        case.a.fill(a);
        case.b.fill(b);
        for isa in available() {
            for with in [with_isa, with_plain_isa] {
                with(*isa, || {
                    case.check::<u8, i8>(&case.definition::<u8, i8>());
                    case.check::<i8, u8>(&case.definition::<i8, u8>());
                    case.check::<i8, i8>(&case.definition::<i8, i8>());
                });
            }
        }
    }
}
