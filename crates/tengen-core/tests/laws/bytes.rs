//! Products of 8-bit integers.

use crate::harness::alone;
use tengen_core::{DType, Element, Tensor, ops};
use tengen_kernels::lanes::{available, with_isa, with_plain_isa};
use tengen_kernels::pool;

/// Bytes over the whole range, the lowest among them.
fn bytes<T: Element>(seed: usize, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let byte = |i: usize| match (i + seed) % 5 {
        0 => T::from_i64(i64::from(i8::MIN)),
        _ => T::from_i64(((i * 7919 + seed * 104_729) % 251) as i64),
    };
    Tensor::from_slice(&(0..count).map(byte).collect::<Vec<T>>(), shape).unwrap()
}

/// The product by i64 operators, which multiply and add elements one by one.
fn reference(a: &Tensor, b: &Tensor) -> Vec<i32> {
    let wide = |x: &Tensor| ops::cast(x, DType::I64).unwrap();
    let left = ops::expand_dims(&wide(a), &[-1]).unwrap();
    let right = ops::expand_dims(&wide(b), &[-3]).unwrap();
    let y = ops::sum(&ops::mul(&left, &right).unwrap(), Some(&[-2]), false).unwrap();
    ops::cast(&y, DType::I32).unwrap().to_vec().unwrap()
}

/// Shapes of operands, with matrices as they are multiplied.
const SHAPES: [(&[usize], &[usize]); 10] = [
    (&[1, 1], &[1, 1]),
    (&[3, 5], &[5, 7]),
    (&[1, 70], &[70, 40]),
    (&[40, 33], &[33, 1]),
    (&[37, 129], &[129, 65]),
    (&[2, 3, 9], &[9, 4]),
    (&[4, 3, 9], &[4, 9, 5]),
    (&[3, 1, 6, 7], &[4, 7, 5]),
    (&[6, 7], &[5, 7, 3]),
    (&[2, 0], &[0, 3]),
];

fn agree<X: Element, Y: Element>() {
    for (p, q) in SHAPES {
        let (a, b) = (bytes::<X>(1, p), bytes::<Y>(2, q));
        let want = if p.contains(&0) { vec![0; 6] } else { reference(&a, &b) };
        let turned = |x: &Tensor| ops::swapaxes(x, -1, -2).unwrap().contiguous().unwrap();
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let left = if ta { turned(&a) } else { a.clone() };
            let right = if tb { turned(&b) } else { b.clone() };
            let y = ops::matmul(&left, &right, ta, tb).unwrap();
            assert_eq!(y.to_vec::<i32>().unwrap(), want, "{a} {ta} {b} {tb}");
        }
    }
}

#[test]
fn byte_products_are_exact_on_every_instruction_set_and_any_threads() {
    let _alone = alone();
    for threads in [1, 2, 5] {
        pool::with_threads(threads, || {
            for isa in available() {
                let all = || {
                    agree::<i8, i8>();
                    agree::<i8, u8>();
                    agree::<u8, i8>();
                };
                with_isa(*isa, all);
                with_plain_isa(*isa, all);
            }
        });
    }
}

#[test]
fn large_byte_products_are_exact() {
    let _alone = alone();
    let (a, b) = (bytes::<i8>(3, &[130, 300]), bytes::<i8>(4, &[300, 140]));
    let want = reference(&a, &b);
    for threads in [1, 2, 5] {
        let y = pool::with_threads(threads, || ops::matmul(&a, &b, false, false)).unwrap();
        assert_eq!(y.to_vec::<i32>().unwrap(), want);
    }
}

#[test]
fn byte_vectors_multiply_like_matrices() {
    let (x, w) = (bytes::<i8>(1, &[9]), bytes::<i8>(2, &[9, 4]));
    let y = ops::matmul(&x, &w, false, false).unwrap();
    assert_eq!((y.dtype(), &y.shape()[..]), (DType::I32, &[4][..]));
    assert_eq!(y.to_vec::<i32>().unwrap(), reference(&ops::reshape(&x, &[1, 9]).unwrap(), &w));
    let dot = ops::dot(&x, &x).unwrap();
    let squares = x.to_vec::<i8>().unwrap().into_iter().map(|v| i32::from(v).pow(2));
    assert_eq!(dot.item_as::<i32>().unwrap(), squares.sum::<i32>());
    assert_eq!(ops::matmul(&w, &bytes::<i8>(3, &[4]), false, false).unwrap().dtype(), DType::I32);
}

#[test]
fn products_of_other_integers_keep_their_dtype() {
    for dtype in [DType::U8, DType::I16, DType::I32, DType::I64] {
        let x = Tensor::full(&[2, 2], 3, dtype).unwrap();
        assert_eq!(ops::matmul(&x, &x, false, false).unwrap().dtype(), dtype);
    }
}
