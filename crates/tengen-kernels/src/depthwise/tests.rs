use super::*;
use crate::lanes::{available, with_isa};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        })
        .collect()
}

fn geometries() -> Vec<Geometry> {
    let mut all = vec![];
    for image in [(1, 1), (5, 7), (9, 40), (12, 17)] {
        for filter in [(1, 1), (3, 3), (2, 5), (5, 4)] {
            for stride in [(1, 1), (2, 2), (1, 3), (7, 2)] {
                for padding in [(0, 0), (1, 1), (4, 3)] {
                    for dilation in [(1, 1), (2, 3)] {
                        let out = |n: usize, r: usize, s: usize, p: usize, d: usize| {
                            Some((n + 2 * p).checked_sub((r - 1) * d + 1)? / s + 1)
                        };
                        let oh = out(image.0, filter.0, stride.0, padding.0, dilation.0);
                        let ow = out(image.1, filter.1, stride.1, padding.1, dilation.1);
                        let (Some(oh), Some(ow)) = (oh, ow) else { continue };
                        let out = (oh, ow);
                        let (c, k) = (1, 1);
                        all.push(Geometry { c, image, k, filter, out, stride, padding, dilation });
                    }
                }
            }
        }
    }
    assert!(all.len() > 200);
    all
}

/// Calls `f(tap, result, element)` for all that the formula pairs.
fn pairs(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    for tap in 0..g.taps() {
        for o in 0..g.pixels() {
            let y = o / g.out.1 * g.stride.0 + tap / g.filter.1 * g.dilation.0;
            let x = o % g.out.1 * g.stride.1 + tap % g.filter.1 * g.dilation.1;
            let (Some(y), Some(x)) = (y.checked_sub(g.padding.0), x.checked_sub(g.padding.1))
            else {
                continue;
            };
            if y < g.image.0 && x < g.image.1 {
                f(tap, o, y * g.image.1 + x);
            }
        }
    }
}

fn close(got: &[f64], want: &[f64], g: &Geometry) {
    for (a, b) in got.iter().zip(want) {
        assert!((a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan()), "{a} {b} {g:?}");
    }
}

fn check(g: &Geometry) {
    let (image, filter) = (noise(g.image_len(), 1), noise(g.taps(), 2));
    let dy = noise(g.pixels(), 3);
    let (mut y, mut dx, mut df) = (vec![0.0; dy.len()], vec![0.0; image.len()], filter.clone());
    pairs(g, |tap, o, i| {
        y[o] += filter[tap] * image[i];
        dx[i] += filter[tap] * dy[o];
        df[tap] += dy[o] * image[i];
    });
    for (plan, source, want) in [(Sums::forward(g), &image, &y), (Sums::to_input(g), &dy, &dx)] {
        let plan = plan.unwrap();
        let mut work = vec![0.0; plan.workspace_len().unwrap()];
        let mut out = vec![f64::NAN; want.len()];
        // What an earlier plane left behind does not matter.
        plan.load(&vec![f64::NAN; source.len()], &mut work);
        plan.run(&filter, &mut out, false, &mut work);
        plan.load(source, &mut work);
        plan.run(&filter, &mut out, false, &mut work);
        close(&out, want, g);
        plan.run(&filter, &mut out, true, &mut work);
        close(&out, &want.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), g);
    }
    let plan = ToFilter::new(g).unwrap();
    let mut work = vec![0.0; plan.workspace_len().unwrap()];
    let mut got = filter.clone();
    plan.load(&image, &mut work);
    plan.run(&dy, &mut got, &work);
    close(&got, &df, g);
}

#[test]
fn results_and_gradients_follow_their_formulas() {
    for isa in available() {
        with_isa(*isa, || geometries().iter().for_each(check));
    }
}

#[test]
fn a_nan_reaches_only_the_sums_that_it_is_part_of() {
    let geometry = |g: &&Geometry| g.image == (9, 40) && g.filter == (3, 3);
    for g in geometries().iter().filter(geometry) {
        let mut image = noise(g.image_len(), 1);
        image[4 * 40 + 39] = f64::NAN;
        let dy = noise(g.pixels(), 3);
        let mut want = vec![0.0; 9];
        pairs(g, |tap, o, i| want[tap] += dy[o] * image[i]);
        let plan = ToFilter::new(g).unwrap();
        let mut work = vec![0.0; plan.workspace_len().unwrap()];
        let mut got = vec![0.0; 9];
        plan.load(&image, &mut work);
        plan.run(&dy, &mut got, &work);
        close(&got, &want, g);
    }
}
