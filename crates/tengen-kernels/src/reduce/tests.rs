use super::*;
use crate::lanes::{available, with_isa};

/// Outer, axis and inner extents: rows and columns, short and long, cut and not.
const SHAPES: [[usize; 3]; 16] = [
    [1, 1, 1],
    [3, 7, 1],
    [2, 5000, 1],
    [100, 130, 1],
    [1, 200_000, 1],
    [2, 33, 5],
    [1, 70_000, 3],
    [2, 9, 300],
    [1, 40, 2500],
    [3, 700, 257],
    [70, 3, 5],
    [70, 11, 40],
    [1, 3, 100_000],
    [1, 1, 9],
    [5, 2, 1023],
    [80, 64, 64],
];

/// Numbers, of which neighbouring ones in a column differ.
fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919) % 1009) as f64 / 999.0 + 0.5).collect()
}

/// The fold of every `x[o, ·, i]`.
fn folded<T: Copy, R>(x: &[T], [_, n, inner]: [usize; 3], f: impl Fn(Vec<T>) -> R) -> Vec<R> {
    let results = x.len() / n;
    let column = |at: usize| {
        let (o, i) = (at / inner, at % inner);
        f((0..n).map(|k| x[(o * n + k) * inner + i]).collect())
    };
    (0..results).map(column).collect()
}

fn check<T: Float, F: Fold>(fold: F, shape: [usize; 3], tol: f64) {
    let [outer, n, inner] = shape;
    let x: Vec<T> = numbers(outer * n * inner).into_iter().map(T::from_f64).collect();
    let want = folded(&x, shape, |v| v.iter().fold(F::EMPTY, |a, v| F::numbers(a, v.to_f64())));
    for isa in available() {
        with_isa(*isa, || {
            let mut all = vec![];
            for threads in [1, 2, 3] {
                let mut y = vec![T::default(); outer * inner];
                pool::with_threads(threads, || reduce(fold, &x, n, inner, &mut y));
                for (at, (y, w)) in y.iter().zip(&want).enumerate() {
                    let y = y.to_f64();
                    assert!((y - w).abs() <= w.abs() * tol, "{y} {w} at {at} of {shape:?} {isa:?}");
                }
                all.push(y);
            }
            assert!(all[0] == all[1] && all[0] == all[2], "threads, {shape:?}");
        });
    }
}

#[test]
fn folds_agree_with_f64_on_any_shape() {
    for shape in SHAPES {
        check::<f32, _>(Sum, shape, 3e-7);
        check::<f64, _>(Sum, shape, 1e-13);
        check::<f32, _>(Max, shape, 0.0);
        check::<f64, _>(Min, shape, 0.0);
    }
    for shape in [[3, 12, 1], [3, 12, 4], [2, 9, 300]] {
        check::<f32, _>(Prod, shape, 1e-6);
    }
}

#[test]
fn nan_wins_wherever_it_is() {
    for isa in available() {
        for at in [0, 5, 17, 40, 130, 255, 299] {
            let mut x = vec![1.0f32; 300];
            x[at] = f32::NAN;
            with_isa(*isa, || {
                for inner in [1, 3, 100] {
                    let mut y = vec![0.0; inner];
                    for greatest in [true, false] {
                        match greatest {
                            true => reduce(Max, &x, 300 / inner, inner, &mut y),
                            false => reduce(Min, &x, 300 / inner, inner, &mut y),
                        }
                        for (i, y) in y.iter().enumerate() {
                            assert_eq!(y.is_nan(), i == at % inner, "{at} {inner}");
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn integers_wrap() {
    fn all<I: Int + std::fmt::Debug>(of: impl Fn(usize) -> I) {
        for shape in SHAPES {
            let [outer, n, inner] = shape;
            let x: Vec<I> = (0..outer * n * inner).map(|i| of(i * 7919)).collect();
            let mut y = vec![I::ZERO; outer * inner];
            reduce_ints(Sum, &x, n, inner, &mut y);
            assert_eq!(y, folded(&x, shape, |v| v.into_iter().fold(I::ZERO, I::plus)));
            reduce_ints(Prod, &x, n, inner, &mut y);
            assert_eq!(y, folded(&x, shape, |v| v.into_iter().fold(I::ONE, I::times)));
            reduce_ints(Max, &x, n, inner, &mut y);
            assert_eq!(y, folded(&x, shape, |v| v.into_iter().fold(I::LEAST, I::max)));
            reduce_ints(Min, &x, n, inner, &mut y);
            assert_eq!(y, folded(&x, shape, |v| v.into_iter().fold(I::GREATEST, I::min)));
        }
    }
    all(|i| i as u8);
    all(|i| i as i16);
    all(|i| i as i32 % 1009 - 500);
    all(|i| (i as i64) << 40);
    let mut nothing = [7i32];
    reduce_ints(Prod, &[], 0, 1, &mut nothing);
    assert_eq!(nothing, [1]);
}

#[test]
fn the_first_extremum_is_found() {
    fn all<T: Copy + Default + PartialOrd + Send + Sync>(of: impl Fn(usize) -> T) {
        for shape in SHAPES {
            let [outer, n, inner] = shape;
            let x: Vec<T> = (0..outer * n * inner).map(|i| of(i * 7919 % 1009)).collect();
            let first = |greatest: bool| {
                folded(&x, shape, |v| {
                    let mut best = 0;
                    for k in 1..v.len() {
                        let number = v[best].partial_cmp(&v[best]).is_some();
                        let nan = v[k].partial_cmp(&v[k]).is_none();
                        let beyond = if greatest { v[k] > v[best] } else { v[k] < v[best] };
                        if number && (nan || beyond) {
                            best = k;
                        }
                    }
                    best as i32
                })
            };
            for isa in available() {
                with_isa(*isa, || {
                    let mut y = vec![-1; outer * inner];
                    arg_reduce::<T, true>(&x, n, inner, &mut y);
                    assert_eq!(y, first(true), "{shape:?}");
                    arg_reduce::<T, false>(&x, n, inner, &mut y);
                    assert_eq!(y, first(false), "{shape:?}");
                });
            }
        }
    }
    all(|i| i as f32);
    all(|i| if i % 97 == 5 { f32::NAN } else { (i % 50) as f32 });
    all(|i| if i == 1000 { f64::NAN } else { -(i as f64) });
    all(|i| i as u8);
    all(|i| i as i64 + (1 << 60));
    all(|i| i % 2 == 0);
}

#[test]
fn every_extremum_gets_the_gradient() {
    for shape in SHAPES {
        let [outer, n, inner] = shape;
        let x: Vec<f32> = numbers(outer * n * inner).iter().map(|v| v.round() as f32).collect();
        let mut y = vec![0.0; outer * inner];
        reduce(Max, &x, n, inner, &mut y);
        let dy: Vec<f32> = (0..y.len()).map(|i| i as f32 + 1.0).collect();
        let want: Vec<f32> = (0..x.len())
            .map(|at| at / (n * inner) * inner + at % inner)
            .zip(&x)
            .map(|(r, x)| if *x == y[r] { dy[r] } else { 0.0 })
            .collect();
        for isa in available() {
            with_isa(*isa, || {
                let mut dx = vec![-1.0; x.len()];
                extremum_backward(&x, n, inner, &y, &dy, &mut dx);
                assert!(dx == want, "{shape:?}");
            });
        }
    }
}
