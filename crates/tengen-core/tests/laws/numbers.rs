//! Numbers on their way in and out: none is rounded to another type first.

use tengen_core::ops::{self, Padding};
use tengen_core::{DType, ErrorKind, Scalar, Tensor};

/// Neither f64 nor i32 has it.
const ODD: i64 = (1 << 60) + 1;

#[test]
fn integers_of_64_bits_come_in_and_out_exactly() {
    let x = Tensor::full(&[2], ODD, DType::I64).unwrap();
    assert_eq!(x.to_vec::<i64>().unwrap(), [ODD, ODD]);
    assert_eq!(ops::full_like(&x, -ODD).unwrap().to_vec::<i64>().unwrap(), [-ODD, -ODD]);
    let one = Tensor::scalar(ODD).unwrap();
    assert_eq!(one.item_as::<i64>().unwrap(), ODD);
    assert_eq!(one.item_scalar().unwrap(), Scalar::Int(ODD));
    assert_eq!(one.item().unwrap(), ODD as f64);
    let y = ops::arange(ODD, ODD - 3, -2, DType::I64).unwrap();
    assert_eq!(y.to_vec::<i64>().unwrap(), [ODD, ODD - 2]);
    let y = ops::arange(i64::MIN, i64::MAX, i64::MAX, DType::I64).unwrap();
    assert_eq!(y.to_vec::<i64>().unwrap(), [i64::MIN, -1, i64::MAX - 1]);
    let x = Tensor::from_slice(&[ODD - 2, ODD, ODD + 2], &[3]).unwrap();
    let y = ops::clip(&x, ODD - 1, ODD + 1).unwrap();
    assert_eq!(y.to_vec::<i64>().unwrap(), [ODD - 1, ODD, ODD + 1]);
    let y = ops::clip(&x, f64::NEG_INFINITY, ODD).unwrap();
    assert_eq!(y.to_vec::<i64>().unwrap(), [ODD - 2, ODD, ODD]);
    let y = ops::pad(&x, &[(1, 0)], Padding::Constant(ODD.into())).unwrap();
    assert_eq!(y.to_vec::<i64>().unwrap()[0], ODD);
}

#[test]
fn bounds_beyond_an_integer_type_do_not_wrap() {
    let x = Tensor::from_slice(&[-100i8, 7, 100], &[3]).unwrap();
    let y = ops::clip(&x, -1000, 300).unwrap();
    assert_eq!(y.to_vec::<i8>().unwrap(), [-100, 7, 100]);
}

#[test]
fn an_item_is_only_read_as_a_type_that_has_it() {
    let item = |v: f64| Tensor::scalar(v).unwrap();
    assert_eq!(item(3.0).item_as::<u8>().unwrap(), 3);
    assert_eq!(item(0.1).item_as::<f32>().unwrap(), 0.1);
    for v in [0.5, -1.0, 256.0, f64::NAN, f64::INFINITY] {
        assert_eq!(item(v).item_as::<u8>().unwrap_err().kind(), ErrorKind::Value, "{v}");
    }
    let edge = 2f64.powi(63);
    assert!(item(edge).item_as::<i64>().is_err());
    assert_eq!(item(-edge).item_as::<i64>().unwrap(), i64::MIN);
    assert_eq!(Tensor::scalar(true).unwrap().item_as::<i64>().unwrap(), 1);
    let x = Tensor::from_slice(&[1.0f32, 2.5], &[2]).unwrap();
    assert_eq!(x.to_i64_vec().unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn floats_without_an_integer_become_the_lowest() {
    let x = Tensor::from_slice(&[f64::NAN, f64::INFINITY, -1e30, 1e30, 2f64.powi(31), -1.9], &[6]);
    let x = x.unwrap();
    let cast = |dtype| ops::cast(&x, dtype).unwrap().to_i64_vec().unwrap();
    let (low, high) = (i64::from(i32::MIN), 1i64 << 31);
    assert_eq!(cast(DType::I32), [low, low, low, low, low, -1]);
    assert_eq!(cast(DType::I64), [i64::MIN, i64::MIN, i64::MIN, i64::MIN, high, -1]);
    assert_eq!(cast(DType::I16), [0, 0, 0, 0, 0, -1]);
    assert_eq!(cast(DType::U8), [0, 0, 0, 0, 0, 255]);
    assert_eq!(cast(DType::Bool), [1; 6]);
}

#[test]
fn integers_and_doubles_are_rounded_once() {
    let cast = |x: &Tensor, dtype| ops::cast(x, dtype).unwrap().to_f64_vec().unwrap()[0];
    // By way of f64, this would end in the middle of two floats and go to the even one below.
    let v = (1i64 << 60) + (1 << 36) + 1;
    let above = (1i64 << 60) as f64 + 2f64.powi(37);
    for sign in [1, -1] {
        let x = Tensor::scalar(sign * v).unwrap();
        assert_eq!(cast(&x, DType::F32), sign as f64 * above);
        let x = Tensor::scalar(sign * ((1i64 << 60) + (1 << 52) + 1)).unwrap();
        assert_eq!(cast(&x, DType::BF16), sign as f64 * (2f64.powi(60) + 2f64.powi(53)));
    }
    let x = Tensor::scalar(1.0 + 2f64.powi(-11) + 2f64.powi(-40)).unwrap();
    assert_eq!(cast(&x, DType::F16), 1.0 + 2f64.powi(-10));
    let x = Tensor::scalar(1.0 + 2f64.powi(-8) + 2f64.powi(-40)).unwrap();
    assert_eq!(cast(&x, DType::BF16), 1.0 + 2f64.powi(-7));
    for v in [1e300, 65520.0] {
        assert_eq!(cast(&Tensor::scalar(v).unwrap(), DType::F16), f64::INFINITY);
    }
    assert!(cast(&Tensor::scalar(f64::NAN).unwrap(), DType::BF16).is_nan());
}
