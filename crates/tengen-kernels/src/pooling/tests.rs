use super::*;
use crate::lanes::{available, with_isa};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Few distinct values, so that windows have ties.
            ((s >> 33) % 17) as f64 - 8.0
        })
        .collect()
}

fn geometries() -> Vec<Pool2d> {
    let mut all = vec![
        Pool2d::adaptive((7, 9), (3, 4)).unwrap(),
        Pool2d::adaptive((5, 5), (5, 1)).unwrap(),
        Pool2d::new((3, 700), (2, 600), (1, 7), (0, 3)).unwrap(),
        Pool2d::new((2, 1500), (2, 3), (2, 2), (1, 1)).unwrap(),
        Pool2d::new((2, 1100), (2, 500), (2, 9), (1, 0)).unwrap(),
        Pool2d::new((2, 1300), (1, 600), (1, 1), (0, 5)).unwrap(),
        Pool2d::new((2, 1100), (2, 5), (1, 2), (1, 3)).unwrap(),
        Pool2d::new((3, 1030), (2, 3), (3, 5), (0, 2)).unwrap(),
        Pool2d::new((2, 1025), (2, 2), (2, 2), (0, 1)).unwrap(),
        Pool2d::new((4, 40), (3, 20), (2, 3), (1, 9)).unwrap(),
        Pool2d::adaptive((56, 56), (7, 7)).unwrap(),
        Pool2d::adaptive((20, 37), (1, 1)).unwrap(),
    ];
    for k in [(1, 1), (2, 2), (3, 3), (3, 2), (5, 4)] {
        for s in [(1, 1), (2, 2), (1, 3), (4, 2)] {
            for p in [(0, 0), (1, 1), (0, 2), (2, 3)] {
                all.extend(Pool2d::new((7, 8), k, s, p));
            }
        }
    }
    assert!(all.len() > 40);
    all
}

/// Calls `f(output position, [input positions of its window])`.
fn windows(p: &Pool2d, mut f: impl FnMut(usize, Vec<usize>)) {
    for oy in 0..p.output.0 {
        for ox in 0..p.output.1 {
            let mut window = vec![];
            for y in oy * p.stride.0..oy * p.stride.0 + p.kernel.0 {
                for x in ox * p.stride.1..ox * p.stride.1 + p.kernel.1 {
                    if y >= p.padding.0
                        && x >= p.padding.1
                        && y - p.padding.0 < p.input.0
                        && x - p.padding.1 < p.input.1
                    {
                        window.push((y - p.padding.0) * p.input.1 + x - p.padding.1);
                    }
                }
            }
            f(oy * p.output.1 + ox, window);
        }
    }
}

#[test]
fn max_pooling_follows_its_formula_and_sends_the_gradient_to_every_maximum() {
    for p in geometries() {
        let (n, on) = (p.input.0 * p.input.1, p.output.0 * p.output.1);
        for seed in 0..3 {
            let mut src = noise(2 * n, seed);
            match seed {
                1 => src.iter_mut().step_by(5).for_each(|v| *v = f64::NAN),
                2 => src.fill(f64::NEG_INFINITY),
                _ => {}
            }
            let mut y = vec![9.0; 2 * on];
            max_pool2d(&p, &src, &mut y);
            let (dy, v) = (noise(2 * on, 77), noise(2 * n, 78));
            let mut expected_dx = vec![0.0; 2 * n];
            let (mut sums, mut expected_sums) = (vec![9.0; 2 * on], vec![0.0; 2 * on]);
            max_pool2d_gather(&p, &src, &y, &v, &mut sums);
            for plane in 0..2 {
                windows(&p, |o, window| {
                    let o = plane * on + o;
                    let values = window.iter().map(|i| src[plane * n + i]);
                    let nan = values.clone().any(f64::is_nan);
                    let max = values.fold(f64::NEG_INFINITY, f64::max);
                    assert!(if nan { y[o].is_nan() } else { y[o] == max }, "{p:?}");
                    for i in window.iter().map(|i| plane * n + i) {
                        if src[i] == y[o] {
                            expected_dx[i] += dy[o];
                            expected_sums[o] += v[i];
                        }
                    }
                });
            }
            assert_eq!(sums, expected_sums, "{p:?}");
            // All of these numbers are whole and small, so f32 holds them too.
            let narrow = [&src, &y, &dy].map(|v| Vec::from_iter(v.iter().map(|&v| v as f32)));
            for isa in available() {
                let (mut dx, mut narrow_dx) = (vec![9.0; 2 * n], vec![f32::NAN; 2 * n]);
                with_isa(*isa, || {
                    max_pool2d_backward(&p, &src, &y, &dy, &mut dx);
                    let [src, y, dy] = &narrow;
                    max_pool2d_backward(&p, src, y, dy, &mut narrow_dx);
                });
                assert_eq!(dx, expected_dx, "{isa:?} {p:?}");
                let wide: Vec<f64> = narrow_dx.iter().map(|&v| v.into()).collect();
                assert_eq!(wide, expected_dx, "{isa:?} {p:?}");
            }
        }
    }
}

#[test]
fn average_pooling_and_its_gradient_follow_their_formulas() {
    for p in geometries() {
        for mode in [CountMode::IncludePadding, CountMode::ExcludePadding] {
            let (n, on) = (p.input.0 * p.input.1, p.output.0 * p.output.1);
            let (src, dy) = (noise(2 * n, 5), noise(2 * on, 6));
            let mut dst = vec![9.0; 2 * on];
            avg_pool2d(&p, mode, &src, &mut dst);
            let mut expected_dx = vec![0.0; 2 * n];
            for plane in 0..2 {
                windows(&p, |o, window| {
                    let count = match mode {
                        CountMode::IncludePadding => p.kernel.0 * p.kernel.1,
                        CountMode::ExcludePadding => window.len(),
                    } as f64;
                    let o = plane * on + o;
                    let sum: f64 = window.iter().map(|i| src[plane * n + i]).sum();
                    assert!((dst[o] - sum / count).abs() < 1e-12, "{p:?} {mode:?}");
                    window.iter().for_each(|i| expected_dx[plane * n + i] += dy[o] / count);
                });
            }
            let narrow: Vec<f32> = dy.iter().map(|&v| v as f32).collect();
            for isa in available() {
                let (mut dx, mut narrow_dx) = (vec![9.0; 2 * n], vec![f32::NAN; 2 * n]);
                with_isa(*isa, || {
                    avg_pool2d_backward(&p, mode, &dy, &mut dx);
                    avg_pool2d_backward(&p, mode, &narrow, &mut narrow_dx);
                });
                for ((a, narrow), b) in dx.iter().zip(narrow_dx).zip(&expected_dx) {
                    assert!((a - b).abs() < 1e-12, "{isa:?} {p:?} {mode:?}");
                    let near = (f64::from(narrow) - b).abs() <= 1e-4;
                    assert!(near, "{isa:?} {p:?} {mode:?}: {narrow}, not {b}");
                }
            }
        }
    }
}

#[test]
fn both_float_types_agree_on_whole_numbers() {
    let p = Pool2d::new((9, 20), (3, 2), (2, 2), (1, 0)).unwrap();
    let src = noise(180, 3);
    let narrow: Vec<f32> = src.iter().map(|&v| v as f32).collect();
    let on = p.output().0 * p.output().1;
    let (mut a, mut b) = (vec![0.0; on], vec![0.0f32; on]);
    max_pool2d(&p, &src, &mut a);
    max_pool2d(&p, &narrow, &mut b);
    assert!(a.iter().zip(&b).all(|(&a, &b)| a == b as f64));
}

#[test]
fn impossible_geometries_are_refused() {
    assert!(Pool2d::new((4, 4), (0, 1), (1, 1), (0, 0)).is_none());
    assert!(Pool2d::new((4, 4), (1, 1), (1, 0), (0, 0)).is_none());
    assert!(Pool2d::new((4, 4), (2, 2), (1, 1), (2, 0)).is_none());
    assert!(Pool2d::new((4, 4), (5, 1), (1, 1), (0, 0)).is_none());
    assert!(Pool2d::new((4, 4), (9, 9), (1, 1), (usize::MAX, 0)).is_none());
    assert!(Pool2d::adaptive((2, 4), (3, 1)).is_none());
    assert!(Pool2d::adaptive((2, 4), (0, 1)).is_none());
}

#[test]
fn adaptive_windows_are_equal_and_spread_evenly() {
    let p = Pool2d::adaptive((1, 5), (1, 3)).unwrap();
    let mut out = [0.0f32; 3];
    avg_pool2d(&p, CountMode::IncludePadding, &[0.0, 1.0, 4.0, 9.0, 16.0], &mut out);
    assert_eq!(out, [5.0 / 3.0, 14.0 / 3.0, 29.0 / 3.0]);
}
