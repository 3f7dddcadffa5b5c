use super::*;
use crate::lanes::{available, with_isa};

struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Every index of a shape in C order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let n: usize = shape.iter().product();
    (0..n)
        .map(|mut p| {
            let mut index = vec![0; shape.len()];
            for (i, &n) in shape.iter().enumerate().rev() {
                index[i] = p % n;
                p /= n;
            }
            index
        })
        .collect()
}

/// A permuted, stepped, reversed and possibly broadcast view: strides, offset, buffer length.
fn random_view(rng: &mut Lcg, shape: &[usize], broadcast: bool) -> (Vec<isize>, usize, usize) {
    let mut order: Vec<usize> = (0..shape.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i + 1));
    }
    let (mut strides, mut next, mut offset) = (vec![0isize; shape.len()], 1usize, 0);
    for &d in &order {
        if broadcast && rng.below(4) == 0 {
            continue;
        }
        let step = if rng.below(4) == 0 { 2 } else { 1 };
        strides[d] = (next * step) as isize;
        if rng.below(5) == 0 {
            offset += strides[d] as usize * (shape[d] - 1);
            strides[d] = -strides[d];
        }
        next *= step * shape[d];
    }
    (strides, offset, next)
}

fn position(index: &[usize], strides: &[isize], offset: usize) -> usize {
    let moved: isize = index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum();
    offset.strict_add_signed(moved)
}

#[test]
fn copies_any_view_like_the_naive_loop_however_it_is_split() {
    let mut rng = Lcg(7);
    for case in 0..600 {
        let ndim = rng.below(5);
        let shape: Vec<usize> = (0..ndim)
            .map(|_| match rng.below(8) {
                0 => 1,
                1 => 40,
                _ => 1 + rng.below(6),
            })
            .collect();
        let (strides, offset, len) = random_view(&mut rng, &shape, true);
        let src: Vec<u32> = (0..len as u32).collect();
        let expected: Vec<u32> =
            indices(&shape).iter().map(|i| src[position(i, &strides, offset)]).collect();
        let plan = CopyPlan::to_contiguous(&shape, &strides).unwrap();
        assert_eq!(plan.units() * plan.unit_len(), expected.len());
        let mut out = vec![u32::MAX; expected.len()];
        let mut unit = 0;
        while unit < plan.units() {
            let end = (unit + 1 + rng.below(plan.units())).min(plan.units());
            let part = &mut out[unit * plan.unit_len()..end * plan.unit_len()];
            plan.pack(&src, offset, part, unit..end);
            unit = end;
        }
        assert_eq!(out, expected, "case {case}: {shape:?} {strides:?}");

        let (strides, offset, len) = random_view(&mut rng, &shape, false);
        let plan = CopyPlan::from_contiguous(&shape, &strides).unwrap();
        let mut back = vec![u32::MAX; len];
        plan.copy(&out, 0, &mut back, offset);
        let mut naive = vec![u32::MAX; len];
        for (i, v) in indices(&shape).iter().zip(&out) {
            naive[position(i, &strides, offset)] = *v;
        }
        assert_eq!(back, naive, "case {case}: {shape:?} {strides:?}");
    }
}

#[test]
fn copies_every_element_size() {
    fn transpose<T: Copy + PartialEq + std::fmt::Debug>(make: impl Fn(usize) -> T) {
        let (h, w) = (70, 67);
        let src: Vec<T> = (0..h * w).map(make).collect();
        let plan = CopyPlan::to_contiguous(&[w, h], &[1, w as isize]).unwrap();
        let mut out = vec![src[0]; h * w];
        plan.pack(&src, 0, &mut out, 0..plan.units());
        for x in 0..w {
            for y in 0..h {
                assert_eq!(out[x * h + y], src[y * w + x]);
            }
        }
    }
    for isa in available() {
        with_isa(*isa, || {
            transpose(|i| i as u8);
            transpose(|i| i as u16);
            transpose(|i| i as u32);
            transpose(|i| i as u64);
            // The bits of signalling NaNs.
            transpose(|i| 0x7f80_0001 + i as u32);
            transpose(|i| 0x7ff0_0000_0000_0001 + i as u64);
        });
    }
}

#[test]
fn merges_what_is_contiguous() {
    let plan = CopyPlan::to_contiguous(&[2, 3, 4, 5], &[60, 20, 5, 1]).unwrap();
    assert_eq!((plan.ndim, plan.dims[0]), (1, Dim { n: 120, src: 1, dst: 1 }));
    let plan = CopyPlan::to_contiguous(&[2, 3, 1, 4], &[0, 0, 9, 1]).unwrap();
    assert_eq!((plan.ndim, plan.units(), plan.unit_len()), (2, 6, 4));
}

#[test]
fn empty_and_zero_dimensional_copies_work() {
    let plan = CopyPlan::to_contiguous(&[3, 0], &[5, 1]).unwrap();
    assert_eq!(plan.units(), 0);
    plan.copy::<u8>(&[], 0, &mut [], 0);
    let plan = CopyPlan::to_contiguous(&[], &[]).unwrap();
    let mut out = [0u8];
    plan.pack(&[1, 2], 1, &mut out, 0..1);
    assert_eq!(out, [2]);
}

#[test]
fn impossible_layouts_have_no_plan() {
    assert!(CopyPlan::to_contiguous(&[1; 9], &[1; 9]).is_none());
    assert!(CopyPlan::to_contiguous(&[2], &[1, 1]).is_none());
    assert!(CopyPlan::to_contiguous(&[usize::MAX, 2], &[0, 0]).is_none());
    assert!(CopyPlan::to_contiguous(&[3, 3], &[isize::MAX, 1]).is_none());
}

#[test]
#[should_panic(expected = "reaches outside")]
fn a_view_past_the_end_is_refused() {
    let plan = CopyPlan::to_contiguous(&[2, 2], &[3, 1]).unwrap();
    plan.pack(&[0u8; 4], 0, &mut [0; 4], 0..2);
}

#[test]
fn copies_past_the_caches_are_copies() {
    let (rows, n) = (5, PAST / 16);
    let src: Vec<u32> = (0..rows * n).map(|i| (i as u32).wrapping_mul(0x9e37_79b9)).collect();
    for isa in available() {
        let mut dst = vec![7u32; rows * (n + 3)];
        let plan = CopyPlan::from_contiguous(&[rows, n], &[n as isize + 3, 1]).unwrap();
        with_isa(*isa, || plan.copy(&src, 0, &mut dst, 1));
        for (row, from) in dst[1..].chunks(n + 3).zip(src.chunks(n)) {
            assert!(row[..n] == *from, "{isa:?}");
            assert!(row[n..].iter().all(|v| *v == 7), "{isa:?}");
        }
    }
}
