use super::*;
use crate::lanes::{available, with_isa};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed;
    std::iter::repeat_with(|| {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((s >> 40) as f64 / (1 << 23) as f64 - 1.0) * 20.0
    })
    .take(n)
    .collect()
}

fn close(a: &[f64], b: &[f64], tol: f64) {
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tol * b.abs().max(1.0), "{a} against {b}");
    }
}

#[test]
fn softmax_and_its_gradient_follow_their_formulas() {
    for n in [1, 3, 16, 40, 5000] {
        let (x, dy) = (noise(3 * n, 1), noise(3 * n, 2));
        let (mut want, mut want_dx) = (vec![], vec![]);
        for (x, dy) in x.chunks(n).zip(dy.chunks(n)) {
            let top = x.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = x.iter().map(|v| (v - top).exp()).sum();
            let y: Vec<f64> = x.iter().map(|v| (v - top).exp() / sum).collect();
            let inner: f64 = y.iter().zip(dy).map(|(a, b)| a * b).sum();
            want_dx.extend(y.iter().zip(dy).map(|(y, g)| y * (g - inner)));
            want.extend(y);
        }
        for isa in available() {
            with_isa(*isa, || {
                let (mut y, mut dx) = (x.clone(), x.clone());
                softmax(n, &x, &mut y);
                softmax_backward(n, &y, &dy, &mut dx);
                close(&y, &want, 1e-13);
                close(&dx, &want_dx, 1e-12);
            });
        }
    }
}

#[test]
fn rows_past_the_caches_are_the_same_rows() {
    for n in [128, 77, ROW + 16] {
        let rows = PAST / size_of::<f32>() / n + 1;
        let x: Vec<f32> = noise(rows * n, 1).into_iter().map(|v| v as f32).collect();
        for isa in available() {
            with_isa(*isa, || {
                let run = |x: &[f32]| {
                    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                    softmax(n, x, &mut y);
                    softmax_backward(n, &y, x, &mut dx);
                    [y, dx]
                };
                let [y, dx] = run(&x);
                let half = rows / 2 * n;
                let ([y0, dx0], [y1, dx1]) = (run(&x[..half]), run(&x[half..]));
                assert!(y == [y0, y1].concat() && dx == [dx0, dx1].concat(), "{isa:?} {n}");
            });
        }
    }
}

#[test]
fn logsoftmax_and_its_gradient_follow_their_formulas() {
    for n in [1, 3, 16, 40, 5000] {
        let (x, dy) = (noise(3 * n, 1), noise(3 * n, 2));
        let (mut want, mut want_dx) = (vec![], vec![]);
        for (x, dy) in x.chunks(n).zip(dy.chunks(n)) {
            let top = x.iter().copied().fold(f64::MIN, f64::max);
            let log = top + x.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
            let total: f64 = dy.iter().sum();
            want_dx.extend(x.iter().zip(dy).map(|(x, g)| g - (x - log).exp() * total));
            want.extend(x.iter().map(|x| x - log));
        }
        for isa in available() {
            with_isa(*isa, || {
                let (mut y, mut dx) = (x.clone(), x.clone());
                logsoftmax(n, &x, &mut y);
                logsoftmax_backward(n, &y, &dy, &mut dx);
                close(&y, &want, 1e-13);
                close(&dx, &want_dx, 1e-11);
            });
        }
    }
    let mut y = [0.0f32; 3];
    logsoftmax(3, &[f32::INFINITY, 1.0, 2.0], &mut y);
    assert!(y[0].is_nan() && y[1] == f32::NEG_INFINITY);
    logsoftmax(3, &[f32::NEG_INFINITY, 1000.0, 1000.0], &mut y);
    assert_eq!(y, [f32::NEG_INFINITY, -(2f32.ln()), -(2f32.ln())]);
}

#[test]
fn logsumexp_and_its_gradient_follow_their_formulas() {
    for n in [1, 3, 16, 40, 5000] {
        let (x, dy) = (noise(3 * n, 1), noise(3, 2));
        let (mut want, mut want_dx) = (vec![], vec![]);
        for (x, dy) in x.chunks(n).zip(&dy) {
            let top = x.iter().copied().fold(f64::MIN, f64::max);
            let log = top + x.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
            want_dx.extend(x.iter().map(|x| dy * (x - log).exp()));
            want.push(log);
        }
        for isa in available() {
            with_isa(*isa, || {
                let (mut y, mut dx) = (vec![0.0; 3], x.clone());
                logsumexp(n, &x, &mut y);
                logsumexp_backward(n, &x, &dy, &mut dx);
                close(&y, &want, 1e-13);
                close(&dx, &want_dx, 1e-11);
            });
        }
    }
    let run = |x: &[f32]| {
        let (mut y, mut dx) = ([0.0], vec![0.0; x.len()]);
        logsumexp(x.len(), x, &mut y);
        logsumexp_backward(x.len(), x, &[1.0], &mut dx);
        (y[0], dx)
    };
    assert_eq!(run(&[1000.0, 1000.0]), (1000.0 + 2f32.ln(), vec![0.5; 2]));
    let (y, dx) = run(&[f32::INFINITY, 1.0]);
    assert!(y == f32::INFINITY && dx[0].is_nan() && dx[1] == 0.0);
    assert_eq!(run(&[f32::NEG_INFINITY; 3]).0, f32::NEG_INFINITY);
}

#[test]
fn cross_entropy_and_its_gradient_follow_their_formulas() {
    for n in [1, 3, 17, 40, 5000] {
        for smooth in [0.0, 0.1, 1.0] {
            let (x, dy) = (noise(3 * n, 1), noise(3, 2));
            let classes = [0, n as i32 - 1, n as i32 / 2];
            let (mut want, mut want_dx) = (vec![], vec![]);
            for ((x, t), dy) in x.chunks(n).zip(classes).zip(&dy) {
                let top = x.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = x.iter().map(|v| (v - top).exp()).sum();
                let lse = top + sum.ln();
                let share =
                    |j: usize| smooth / n as f64 + if j == t as usize { 1.0 - smooth } else { 0.0 };
                want.push((0..n).map(|j| share(j) * (lse - x[j])).sum::<f64>());
                want_dx.extend((0..n).map(|j| dy * ((x[j] - lse).exp() - share(j))));
            }
            for isa in available() {
                with_isa(*isa, || {
                    let (mut y, mut dx) = (vec![0.0; 3], x.clone());
                    cross_entropy(n, &x, &classes, smooth, &mut y);
                    cross_entropy_backward(n, &x, &classes, smooth, &dy, &mut dx);
                    close(&y, &want, 1e-12);
                    close(&dx, &want_dx, 1e-12);
                });
            }
        }
    }
}

#[test]
fn infinite_and_large_elements_do_not_overflow() {
    let mut y = [0.0f32; 3];
    softmax(3, &[1e30, -1e30, f32::NEG_INFINITY], &mut y);
    assert_eq!(y, [1.0, 0.0, 0.0]);
    softmax(3, &[1.0, f32::NAN, 2.0], &mut y);
    assert!(y.iter().all(|v| v.is_nan()));
    let mut loss = [0.0f32];
    cross_entropy(2, &[1000.0, 0.0], &[1], 0.0, &mut loss);
    assert_eq!(loss, [1000.0]);
}
