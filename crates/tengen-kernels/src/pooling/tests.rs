use super::*;

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
fn max_pooling_and_its_gradients_follow_their_formulas() {
    for p in geometries() {
        let (n, on) = (p.input.0 * p.input.1, p.output.0 * p.output.1);
        for seed in 0..3 {
            let mut src = noise(2 * n, seed);
            match seed {
                1 => src.iter_mut().step_by(5).for_each(|v| *v = f64::NAN),
                2 => src.fill(f64::NEG_INFINITY),
                _ => {}
            }
            let (mut dst, mut index) = (vec![9.0; 2 * on], vec![-9; 2 * on]);
            max_pool2d(&p, &src, &mut dst, Some(&mut index));
            let mut values = vec![9.0; 2 * on];
            max_pool2d(&p, &src, &mut values, None);
            let dy = noise(2 * on, 77);
            let (mut dx, mut expected_dx) = (vec![9.0; 2 * n], vec![0.0; 2 * n]);
            max_pool2d_backward(&p, &dy, &index, &mut dx);
            let (mut ties, mut expected_ties) = (vec![9.0; 2 * n], vec![0.0; 2 * n]);
            max_pool2d_backward_ties(&p, &src, &dst, &dy, &mut ties);
            for plane in 0..2 {
                let src = &src[plane * n..];
                windows(&p, |o, window| {
                    let mut best = window[0];
                    for &i in &window {
                        let nan = src[i].is_nan() && !src[best].is_nan();
                        if src[i] > src[best] || nan {
                            best = i;
                        }
                    }
                    let o = plane * on + o;
                    assert_eq!(dst[o].to_bits(), src[best].to_bits(), "{p:?}");
                    assert_eq!(values[o].to_bits(), src[best].to_bits(), "{p:?}");
                    assert_eq!(index[o], best as i32, "{p:?}");
                    expected_dx[plane * n + best] += dy[o];
                    for i in window {
                        if src[i] == src[best] || src[i].is_nan() {
                            expected_ties[plane * n + i] += dy[o];
                        }
                    }
                });
            }
            assert_eq!(dx, expected_dx, "{p:?}");
            assert_eq!(ties, expected_ties, "{p:?}");
        }
    }
}

#[test]
fn average_pooling_and_its_gradient_follow_their_formulas() {
    for p in geometries() {
        for mode in [CountMode::IncludePadding, CountMode::ExcludePadding] {
            let (n, on) = (p.input.0 * p.input.1, p.output.0 * p.output.1);
            let (src, dy) = (noise(2 * n, 5), noise(2 * on, 6));
            let (mut dst, mut dx) = (vec![9.0; 2 * on], vec![9.0; 2 * n]);
            avg_pool2d(&p, mode, &src, &mut dst);
            avg_pool2d_backward(&p, mode, &dy, &mut dx);
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
            for (a, b) in dx.iter().zip(&expected_dx) {
                assert!((a - b).abs() < 1e-12, "{p:?} {mode:?}");
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
    let (mut ai, mut bi) = (vec![0; on], vec![0; on]);
    max_pool2d(&p, &src, &mut a, Some(&mut ai));
    max_pool2d(&p, &narrow, &mut b, Some(&mut bi));
    assert_eq!(ai, bi);
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
