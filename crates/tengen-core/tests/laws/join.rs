//! Joining, cutting, repeating, turning and padding.

use crate::harness::{laws, tensor};
use tengen_core::ops::{Indexing, Padding};
use tengen_core::{DType, Tensor, ops};

const S: &[usize] = &[2, 3, 4];

#[test]
fn joining_obeys_the_laws() {
    for axis in [0isize, 1, -1] {
        let mut other = S.to_vec();
        other[axis.rem_euclid(3) as usize] = 5;
        laws("concat", move |x| ops::concat(&[&x[0], &x[1], &x[0]], axis))
            .input(S, -2.0, 2.0)
            .input(&other, -2.0, 2.0)
            .check();
        laws("split", move |x| Ok(ops::split(&x[0], 2, axis)?.swap_remove(0)))
            .input(S, -2.0, 2.0)
            .check();
        laws("split_at", move |x| {
            let parts = ops::split_at(&x[0], &[1, 1], axis)?;
            ops::concat(&[&parts[2], &parts[1], &parts[0], &parts[2]], axis)
        })
        .input(S, -2.0, 2.0)
        .check();
        laws("repeat", move |x| ops::repeat(&x[0], 3, Some(axis))).input(S, -2.0, 2.0).check();
        laws("flip", move |x| ops::flip(&x[0], Some(&[axis]))).input(S, -2.0, 2.0).check();
        laws("roll", move |x| ops::roll(&x[0], &[-5], Some(&[axis]))).input(S, -2.0, 2.0).check();
    }
    for axis in [0, 2, -1] {
        laws("stack", move |x| ops::stack(&[&x[0], &x[1]], axis))
            .input(S, -2.0, 2.0)
            .input(S, -2.0, 2.0)
            .check();
    }
    laws("concat", |x| ops::concat(&[&x[0]], 0)).input(S, -2.0, 2.0).check();
    for reps in [&[][..], &[2], &[2, 1, 3], &[2, 1, 2, 1], &[0, 1, 1]] {
        laws("tile", move |x| ops::tile(&x[0], reps)).input(S, -2.0, 2.0).check();
    }
    laws("repeat", |x| ops::repeat(&x[0], 2, None)).input(S, -2.0, 2.0).check();
    laws("repeat", |x| ops::repeat(&x[0], 0, Some(1))).input(S, -2.0, 2.0).check();
    laws("roll", |x| ops::roll(&x[0], &[7], None)).input(S, -2.0, 2.0).check();
    laws("roll", |x| ops::roll(&x[0], &[1, -2], Some(&[1, 2]))).input(S, -2.0, 2.0).check();
    laws("flip", |x| ops::flip(&x[0], None)).input(S, -2.0, 2.0).check();
    for padding in [Padding::Constant(1.5.into()), Padding::Reflect, Padding::Replicate] {
        laws("pad", move |x| ops::pad(&x[0], &[(1, 0), (0, 2), (3, 1)], padding))
            .input(S, -2.0, 2.0)
            .check();
    }
    for indexing in [Indexing::Xy, Indexing::Ij] {
        for k in 0..3 {
            laws("meshgrid", move |x| {
                Ok(ops::meshgrid(&[&x[0], &x[1], &x[2]], indexing)?.swap_remove(k))
            })
            .input(&[2], -2.0, 2.0)
            .input(&[3], -2.0, 2.0)
            .input(&[4], -2.0, 2.0)
            .check();
        }
    }
}

#[test]
fn cuts_share_out_what_does_not_divide() {
    let x = ops::arange(0.0, 7.0, 1.0, DType::I32).unwrap();
    let lens = |parts: &[Tensor]| parts.iter().map(Tensor::numel).collect::<Vec<_>>();
    assert_eq!(lens(&ops::split(&x, 3, 0).unwrap()), [3, 2, 2]);
    assert_eq!(lens(&ops::split(&x, 9, 0).unwrap()), [1, 1, 1, 1, 1, 1, 1, 0, 0]);
    assert_eq!(lens(&ops::split_at(&x, &[0, 4], 0).unwrap()), [0, 4, 3]);
    assert_eq!(ops::split(&x, 3, 0).unwrap()[1].to_vec::<i32>().unwrap(), [3, 4]);
}

#[test]
fn values_stand_where_they_should() {
    let x = tensor(&[3], &[1.0, 2.0, 3.0], DType::F32);
    let v = |t: Tensor| t.to_f64_vec().unwrap();
    assert_eq!(v(ops::tile(&x, &[2]).unwrap()), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    assert_eq!(v(ops::repeat(&x, 2, Some(0)).unwrap()), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    assert_eq!(v(ops::roll(&x, &[1], Some(&[0])).unwrap()), [3.0, 1.0, 2.0]);
    assert_eq!(v(ops::flip(&x, None).unwrap()), [3.0, 2.0, 1.0]);
    let pad = |p| v(ops::pad(&x, &[(2, 1)], p).unwrap());
    assert_eq!(pad(Padding::Constant(7.0.into())), [7.0, 7.0, 1.0, 2.0, 3.0, 7.0]);
    assert_eq!(pad(Padding::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    assert_eq!(pad(Padding::Replicate), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    let i = Tensor::from_slice(&[4i32], &[1]).unwrap();
    assert_eq!(ops::concat(&[&x, &i], 0).unwrap().dtype(), DType::F32);
    let grid = ops::meshgrid(&[&x, &i], Indexing::Xy).unwrap();
    assert_eq!(*grid[0].shape(), [1, 3]);
}

#[test]
fn impossible_joints_are_errors() {
    let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
    let y = Tensor::zeros(&[2, 4], DType::F32).unwrap();
    assert!(ops::concat(&[], 0).is_err());
    assert!(ops::concat(&[&x, &y], 0).is_err());
    assert!(ops::concat(&[&x], 2).is_err());
    assert!(ops::stack(&[], 0).is_err());
    assert!(ops::stack(&[&x, &y], 0).is_err());
    assert!(ops::split(&x, 0, 0).is_err());
    assert!(ops::split(&x, usize::MAX, 0).is_err());
    assert!(ops::split_at(&x, &[2, 1], 1).is_err());
    assert!(ops::split_at(&x, &[4], 1).is_err());
    assert!(ops::tile(&x, &[usize::MAX, 1]).is_err());
    assert!(ops::tile(&x, &[1; 9]).is_err());
    assert!(ops::repeat(&x, usize::MAX, Some(0)).is_err());
    assert!(ops::roll(&x, &[1, 2], None).is_err());
    assert!(ops::roll(&x, &[1], Some(&[0, 1])).is_err());
    assert!(ops::flip(&x, Some(&[0, 0])).is_err());
    assert!(ops::pad(&x, &[(0, 0); 3], Padding::Reflect).is_err());
    assert!(ops::pad(&x, &[(2, 0)], Padding::Reflect).is_err());
    assert!(ops::pad(&x, &[(usize::MAX, 2)], Padding::Constant(0.0.into())).is_err());
    assert!(
        ops::pad(&Tensor::zeros(&[0], DType::F32).unwrap(), &[(1, 0)], Padding::Replicate).is_err()
    );
    assert!(ops::meshgrid(&[&x], Indexing::Ij).is_err());
}

#[test]
fn large_images_are_padded_like_small_ones() {
    let (n, c, h, w) = (6, 7, 30, 31);
    let at = |i: [usize; 4]| (((i[0] * c + i[1]) * h + i[2]) * w + i[3]) as f32;
    let data: Vec<f32> = (0..n * c * h * w).map(|i| i as f32).collect();
    let x = Tensor::from_slice(&data, &[n, c, h, w]).unwrap();
    let turned = ops::transpose(&x, &[1, 0, 3, 2]).unwrap();
    for (x, swapped) in [(x, false), (turned, true)] {
        let widths = [(0, 0), (0, 0), (1, 2), (3, 0)];
        let y = ops::pad(&x, &widths, Padding::Constant((-1.0).into())).unwrap();
        let (values, s) = (y.to_vec::<f32>().unwrap(), *y.shape());
        for (k, v) in values.into_iter().enumerate() {
            let (b, a) = (k / s[3] % s[2], k % s[3]);
            let (p, q) = (k / s[3] / s[2] / s[1], k / s[3] / s[2] % s[1]);
            let inside = (1..=x.shape()[2]).contains(&b) && a >= 3;
            let index = if swapped {
                [q, p, a.wrapping_sub(3), b - usize::from(inside)]
            } else {
                [p, q, b - usize::from(inside), a.wrapping_sub(3)]
            };
            assert_eq!(v, if inside { at(index) } else { -1.0 }, "{k}");
        }
    }
}
