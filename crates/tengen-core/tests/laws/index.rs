//! Indexing, and selection and placement by index.

use crate::harness::{laws, tensor};
use tengen_core::ops::Index;
use tengen_core::{DType, ErrorKind, Tensor, ops};

fn ints(values: &[i32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

fn mask(values: &[u8], shape: &[usize]) -> Tensor {
    let values: Vec<bool> = values.iter().map(|v| *v != 0).collect();
    Tensor::from_slice(&values, shape).unwrap()
}

fn slice(start: isize, stop: isize, step: isize) -> Index {
    Index::Slice { start: Some(start), stop: Some(stop), step }
}

/// Indices of every kind into `[3, 4, 5]`, with the shapes that NumPy gives.
fn indices() -> Vec<(Vec<Index>, Vec<usize>)> {
    use Index::{Ellipsis, Int, NewAxis, Tensor as T};
    let all = || Index::ALL;
    let back = || Index::Slice { start: None, stop: None, step: -1 };
    let (two, pair) = (|| T(ints(&[0, -1], &[2])), || T(ints(&[1, 2], &[2])));
    vec![
        (vec![], vec![3, 4, 5]),
        (vec![Int(1)], vec![4, 5]),
        (vec![Int(-1), Int(0), Int(4)], vec![]),
        (vec![slice(1, 99, 1)], vec![2, 5 - 1, 5]),
        (vec![back(), all(), back()], vec![3, 4, 5]),
        (vec![all(), slice(-1, 0, -2)], vec![3, 2, 5]),
        (vec![slice(2, 2, 1)], vec![0, 4, 5]),
        (vec![NewAxis, Ellipsis, NewAxis, Int(0)], vec![1, 3, 4, 1]),
        (vec![two()], vec![2, 4, 5]),
        (vec![T(ints(&[0, 1, 2, 1, 0, 0], &[2, 3]))], vec![2, 3, 4, 5]),
        (vec![all(), two()], vec![3, 2, 5]),
        (vec![Ellipsis, two()], vec![3, 4, 2]),
        (vec![two(), pair()], vec![2, 5]),
        (vec![two(), all(), pair()], vec![2, 4]),
        (vec![all(), two(), pair()], vec![3, 2]),
        (vec![Int(0), all(), pair()], vec![2, 4]),
        (vec![all(), Int(0), pair()], vec![3, 2]),
        (vec![two(), NewAxis, pair()], vec![2, 1, 5]),
        (vec![T(ints(&[0, 1], &[2, 1])), T(ints(&[0, 1, 3], &[3]))], vec![2, 3, 5]),
        (vec![slice(0, 3, 2), two(), back()], vec![2, 2, 5]),
        (vec![two(), slice(3, 0, -1), pair()], vec![2, 3]),
        (vec![T(ints(&[], &[0]))], vec![0, 4, 5]),
        (vec![T(Tensor::scalar(1i64).unwrap()), two()], vec![2, 5]),
        (vec![T(mask(&[1, 0, 1], &[3]))], vec![2, 4, 5]),
        (vec![T(mask(&[1, 0, 1], &[3])), slice(1, 3, 1)], vec![2, 2, 5]),
        (vec![all(), T(mask(&[1, 0, 1, 1], &[4])), T(ints(&[0, 1, 2], &[3]))], vec![3, 3]),
        (vec![T(mask(&[1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1], &[3, 4]))], vec![6, 5]),
        (vec![T(mask(&[0; 60], &[3, 4, 5]))], vec![0]),
        (vec![T(Tensor::scalar(true).unwrap())], vec![1, 3, 4, 5]),
        (vec![T(Tensor::scalar(false).unwrap()), Int(0)], vec![0, 4, 5]),
    ]
}

#[test]
fn indexing_obeys_the_laws() {
    for (index, shape) in indices() {
        let x = Tensor::zeros(&[3, 4, 5], DType::F32).unwrap();
        assert_eq!(ops::getitem(&x, &index).unwrap().shape()[..], shape, "{index:?}");
        let (i, j) = (index.clone(), index.clone());
        laws("getitem", move |x| ops::getitem(&x[0], &i)).input(&[3, 4, 5], -2.0, 2.0).check();
        laws("setitem", move |x| ops::setitem(&x[0], &j, &x[1]))
            .input(&[3, 4, 5], -2.0, 2.0)
            .input(&shape, -2.0, 2.0)
            .check();
        let mut y = ops::cast(&x, DType::F32).unwrap();
        let v = Tensor::full(&shape, 1.0, DType::F64).unwrap();
        ops::setitem_in_place(&mut y, &index, &v).unwrap();
        let want = ops::setitem(&x, &index, &v).unwrap();
        assert_eq!(y.to_f64_vec().unwrap(), want.to_f64_vec().unwrap(), "{index:?}");
    }
}

#[test]
fn the_last_of_equal_indices_stays_and_gets_the_gradient() {
    let twice = || Index::Tensor(ints(&[1, 0, 1], &[3]));
    laws("setitem", move |x| ops::setitem(&x[0], &[twice()], &x[1]))
        .input(&[3, 2], -2.0, 2.0)
        .input(&[3, 2], -2.0, 2.0)
        .check();
    laws("setitem", move |x| ops::setitem(&x[0], &[Index::ALL, twice()], &x[1]))
        .input(&[2, 3], -2.0, 2.0)
        .input(&[1], -2.0, 2.0)
        .check();
    let x = Tensor::zeros(&[2], DType::F32).unwrap();
    let v = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
    let y = ops::setitem(&x, &[twice()], &v).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [2.0, 3.0]);
}

#[test]
fn selection_obeys_the_laws() {
    let at = || ints(&[1, 0, -1, 1, 1, 0], &[2, 3]);
    for (axis, shape) in [(0, [3, 4, 5]), (1, [4, 3, 5]), (-1, [4, 5, 3])] {
        laws("take", move |x| ops::take(&x[0], axis, &at())).input(&shape, -2.0, 2.0).check();
        let mut source = shape.to_vec();
        let a = axis.rem_euclid(3) as usize;
        source.splice(a..a + 1, [2, 3]);
        laws("index_add", move |x| ops::index_add(&x[0], axis, &at(), &x[1]))
            .input(&shape, -2.0, 2.0)
            .input(&source, -2.0, 2.0)
            .check();
    }
    let along = |axis: usize| {
        let mut shape = [2, 3, 4];
        shape[axis] = 2;
        let n: usize = shape.iter().product();
        ints(&(0..n).map(|i| (i * i % 5 % 2) as i32 - (i % 2) as i32).collect::<Vec<_>>(), &shape)
    };
    for axis in 0..3 {
        let index = along(axis);
        let shape = index.shape().to_vec();
        let (i, j, k) = (index.clone(), index.clone(), index);
        let a = axis as isize;
        laws("gather", move |x| ops::gather(&x[0], a, &i)).input(&[2, 3, 4], -2.0, 2.0).check();
        laws("scatter", move |x| ops::scatter(&x[0], a, &j, &x[1]))
            .input(&[2, 3, 4], -2.0, 2.0)
            .input(&shape, -2.0, 2.0)
            .check();
        laws("scatter_add", move |x| ops::scatter_add(&x[0], a, &k, &x[1]))
            .input(&[2, 3, 4], -2.0, 2.0)
            .input(&shape, -2.0, 2.0)
            .check();
    }
    // Indices may stop short of the other extents.
    let short = || ints(&[2, 0], &[1, 2]);
    laws("gather", move |x| ops::gather(&x[0], 0, &short())).input(&[3, 4], -2.0, 2.0).check();
    laws("scatter", move |x| ops::scatter(&x[0], 0, &short(), &x[1]))
        .input(&[3, 4], -2.0, 2.0)
        .input(&[1, 2], -2.0, 2.0)
        .check();
    laws("cond_take", |x| {
        let m = mask(&[1, 0, 0, 1, 1, 0], &[2, 3]);
        Ok(ops::cond_take(&m, &x[0])?.0)
    })
    .input(&[2, 3], -2.0, 2.0)
    .check();
    for (axis, keep) in [(1, false), (-2, true)] {
        laws("indexing_one_hot", move |x| {
            ops::indexing_one_hot(&x[0], &ints(&[2, 0, 1, 1, 0, 2, 2, 2], &[2, 4]), axis, keep)
        })
        .input(&[2, 3, 4], -2.0, 2.0)
        .check();
    }
}

#[test]
fn large_selections_are_shared_between_threads() {
    let (n, wide) = (5000, 40);
    let at: Vec<i32> = (0..n).map(|i| i * 7919 % n).collect();
    let i = ints(&at, &[n as usize]);
    let j = i.clone();
    laws("take", move |x| ops::take(&x[0], 0, &i))
        .input(&[n as usize, wide], -2.0, 2.0)
        .no_halves()
        .first_order()
        .check();
    laws("take", move |x| ops::take(&x[0], 1, &j))
        .input(&[3, n as usize], -2.0, 2.0)
        .no_halves()
        .first_order()
        .check();
}

#[test]
fn masks_and_classes_become_indices() {
    let x = tensor(&[2, 3], &[0.0, 1.0, 0.0, f64::NAN, 0.0, -2.0], DType::F32);
    let at = ops::nonzero(&x).unwrap();
    assert_eq!(at[0].to_vec::<i32>().unwrap(), [0, 1, 1]);
    assert_eq!(at[1].to_vec::<i32>().unwrap(), [1, 0, 2]);
    assert!(ops::nonzero(&Tensor::scalar(1.0f32).unwrap()).unwrap().is_empty());
    let (values, at) = ops::cond_take(&mask(&[0, 1, 1], &[3]), &ints(&[4, 5, 6], &[3])).unwrap();
    assert_eq!(values.to_vec::<i32>().unwrap(), [5, 6]);
    assert_eq!(at.to_vec::<i32>().unwrap(), [1, 2]);
    let y = ops::one_hot(&ints(&[1, 0], &[2, 1]), 2).unwrap();
    assert_eq!(*y.shape(), [2, 1, 2]);
    assert_eq!(y.to_vec::<i32>().unwrap(), [0, 1, 1, 0]);
    assert_eq!(*ops::one_hot(&ints(&[], &[0]), 0).unwrap().shape(), [0, 0]);
}

#[test]
fn basic_indices_are_views() {
    let x = Tensor::zeros(&[4, 6], DType::F32).unwrap();
    let y = ops::getitem(&x, &[Index::ALL, slice(5, 0, -2)]).unwrap();
    assert_eq!(y.strides(), [6, -2]);
    assert_eq!(ops::flip(&y, None).unwrap().strides(), [-6, 2]);
}

#[test]
fn impossible_indices_are_errors() {
    use Index::{Ellipsis, Int, Tensor as T};
    let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
    let kind = |index: &[Index]| ops::getitem(&x, index).unwrap_err().kind();
    assert_eq!(kind(&[Int(2)]), ErrorKind::Index);
    assert_eq!(kind(&[Int(-3)]), ErrorKind::Index);
    assert_eq!(kind(&[Int(isize::MIN)]), ErrorKind::Index);
    assert_eq!(kind(&[Int(0), Int(0), Int(0)]), ErrorKind::Index);
    assert_eq!(kind(&[Ellipsis, Ellipsis]), ErrorKind::Index);
    assert_eq!(kind(&[T(ints(&[0, 5], &[2]))]), ErrorKind::Index);
    assert_eq!(kind(&[T(mask(&[1, 0, 1], &[3]))]), ErrorKind::Index);
    assert_eq!(kind(&[slice(0, 1, 0)]), ErrorKind::Value);
    assert_eq!(kind(&[T(ints(&[0; 2], &[2])), T(ints(&[0; 3], &[3]))]), ErrorKind::Shape);
    assert_eq!(kind(&[T(x.clone())]), ErrorKind::DType);
    for step in [isize::MIN, isize::MAX] {
        let wild = Index::Slice { start: Some(isize::MIN), stop: Some(isize::MAX), step };
        assert!(ops::getitem(&x, &[wild]).is_ok());
    }
    let e = ops::getitem(&x, &[Index::ALL, Int(7)]).unwrap_err().to_string();
    assert_eq!(e, "getitem: index 7 is out of range for axis 1 of extent 3 (x: f32[2, 3])");
    let v = Tensor::zeros(&[2, 2], DType::F32).unwrap();
    assert!(ops::setitem(&x, &[Int(0)], &v).is_err());
    let mut y = x.clone();
    assert!(ops::setitem_in_place(&mut y, &[Int(9)], &v).is_err());
    assert!(ops::take(&x, 0, &ints(&[2], &[1])).is_err());
    assert!(ops::take(&x, 2, &ints(&[0], &[1])).is_err());
    assert!(ops::take(&x, 0, &x).is_err());
    assert!(
        ops::take(&Tensor::zeros(&[0, 1 << 40], DType::F32).unwrap(), 0, &ints(&[0], &[1]))
            .is_err()
    );
    assert!(ops::index_add(&x, 0, &ints(&[0], &[1]), &x).is_err());
    assert!(ops::gather(&x, 0, &ints(&[0], &[1])).is_err());
    assert!(ops::gather(&x, 0, &ints(&[0; 8], &[2, 4])).is_err());
    assert!(ops::scatter(&x, 0, &ints(&[0], &[1, 1]), &x).is_err());
    assert!(ops::scatter_add(&x, 0, &ints(&[2], &[1, 1]), &v).is_err());
    assert!(ops::one_hot(&ints(&[3], &[1]), 3).is_err());
    assert!(ops::one_hot(&ints(&[-1], &[1]), 3).is_err());
    assert!(ops::one_hot(&ints(&[0], &[1]), usize::MAX).is_err());
    assert!(ops::indexing_one_hot(&x, &ints(&[-1, 0], &[2]), 1, false).is_err());
    assert!(ops::indexing_one_hot(&x, &ints(&[0; 3], &[3]), 1, false).is_err());
    assert!(ops::cond_take(&mask(&[1], &[1]), &x).is_err());
    assert!(Tensor::zeros(&[0, 1 << 40, 1 << 40], DType::F32).is_err());
}

#[test]
fn the_last_of_many_equal_rows_stays() {
    let (rows, inner, picks) = (50, 400, 60);
    let mut x = Tensor::zeros(&[rows, inner], DType::F32).unwrap();
    let index: Vec<i32> = (0..picks as i32).map(|i| i * 7 % 31 - 3).collect();
    let values: Vec<f32> = (1..=picks * inner).map(|v| v as f32).collect();
    let mut want = vec![0.0; rows * inner];
    for (k, i) in index.iter().enumerate() {
        let row = i.rem_euclid(rows as i32) as usize * inner;
        want[row..row + inner].copy_from_slice(&values[k * inner..(k + 1) * inner]);
    }
    let index = Index::Tensor(Tensor::from_slice(&index, &[picks]).unwrap());
    let values = Tensor::from_slice(&values, &[picks, inner]).unwrap();
    ops::setitem_in_place(&mut x, &[index], &values).unwrap();
    assert!(x.to_vec::<f32>().unwrap() == want);
}
