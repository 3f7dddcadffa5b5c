use super::*;
use crate::lanes::{available, with_isa};
use crate::pool::with_threads;

fn noise(n: usize, seed: u64, offset: f64) -> Vec<f64> {
    let mut s = seed;
    std::iter::repeat_with(|| {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (s >> 40) as f64 / (1 << 23) as f64 - 1.0 + offset
    })
    .take(n)
    .collect()
}

fn layouts() -> Vec<Layout> {
    let new = |runs, len, units, affine| Layout { runs, len, units, affine };
    vec![
        new(6, 5, Units::Interleaved(3), Affine::Runs(3)),
        new(4, 5000, Units::Interleaved(2), Affine::Runs(2)),
        new(12, 9, Units::Neighbours(2), Affine::Runs(6)),
        new(12, 17, Units::Neighbours(1), Affine::Runs(4)),
        new(40, 7, Units::Neighbours(1), Affine::Elements),
        new(3, 6000, Units::Neighbours(1), Affine::Elements),
        new(1, 1, Units::Neighbours(1), Affine::Elements),
        new(48, 600, Units::Interleaved(16), Affine::Runs(16)),
        new(96, 33, Units::Neighbours(3), Affine::Runs(48)),
        new(70, 300, Units::Neighbours(1), Affine::Elements),
    ]
}

/// y and the gradients by the definition, in f64.
fn reference(l: Layout, x: &[f64], dy: &[f64], w: &[f64], b: &[f64], eps: f64) -> [Vec<f64>; 4] {
    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    let n = l.unit_len() as f64;
    for u in 0..l.units() {
        let all: Vec<usize> = l.members(u).flat_map(|r| r * l.len..(r + 1) * l.len).collect();
        let at = |i: usize| match l.affine {
            Affine::Elements => i % l.len,
            Affine::Runs(m) => i / l.len % m,
        };
        let mean = all.iter().map(|i| x[*i]).sum::<f64>() / n;
        let var = all.iter().map(|i| (x[*i] - mean).powi(2)).sum::<f64>() / n;
        let rstd = 1.0 / (var + eps).sqrt();
        let hat = |i: usize| (x[i] - mean) * rstd;
        let g = |i: usize| dy[i] * w[at(i)];
        let s = all.iter().map(|i| g(*i)).sum::<f64>() / n;
        let t = all.iter().map(|i| g(*i) * hat(*i)).sum::<f64>() / n;
        for &i in &all {
            y[i] = hat(i) * w[at(i)] + b[at(i)];
            dx[i] = rstd * (g(i) - s - hat(i) * t);
            dw[at(i)] += dy[i] * hat(i);
            db[at(i)] += dy[i];
        }
    }
    [y, dx, dw, db]
}

fn run<T: Float>(l: Layout, x: &[f64], dy: &[f64], w: &[f64], b: &[f64]) -> [Vec<f64>; 4] {
    let of = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
    let back = |v: Vec<T>| v.into_iter().map(T::to_f64).collect::<Vec<f64>>();
    let (x, dy, w, b) = (of(x), of(dy), of(w), of(b));
    let (mut mean, mut var) = (of(&vec![0.0; l.units()]), of(&vec![0.0; l.units()]));
    let mut scratch = vec![0.0; l.scratch_len()];
    let (mut y, mut dx) = (x.clone(), x.clone());
    let (mut dw, mut db) = (w.clone(), w.clone());
    forward(l, &x, 1e-3, [Some(&w), Some(&b)], [&mut y, &mut mean, &mut var], &mut scratch);
    let given = Given { mean: &mean, var: &var, eps: 1e-3, weight: Some(&w), bias: Some(&b) };
    backward(l, given, &x, &dy, [&mut dx, &mut dw, &mut db], &mut scratch);
    [back(y), back(dx), back(dw), back(db)]
}

fn close(what: &str, got: &[Vec<f64>; 4], want: &[Vec<f64>; 4], tol: f64) {
    for (k, (g, w)) in got.iter().zip(want).enumerate() {
        let scale = w.iter().fold(1e-3f64, |a, v| a.max(v.abs()));
        for (i, (g, w)) in g.iter().zip(w).enumerate() {
            assert!((g - w).abs() <= tol * scale, "{what} {k} {i}: {g} against {w}");
        }
    }
}

#[test]
fn values_and_gradients_follow_their_formulas() {
    for l in layouts() {
        let n = l.runs * l.len;
        let (x, dy) = (noise(n, 1, 3.0), noise(n, 2, 0.1));
        let (w, b) = (noise(l.affine_len(), 3, 1.0), noise(l.affine_len(), 4, 0.0));
        let want = reference(l, &x, &dy, &w, &b, 1e-3);
        for isa in available() {
            with_isa(*isa, || {
                close("f64", &run::<f64>(l, &x, &dy, &w, &b), &want, 1e-12);
                close("f32", &run::<f32>(l, &x, &dy, &w, &b), &want, 5e-5);
            });
        }
    }
}

#[test]
fn results_past_the_caches_follow_their_formulas() {
    let new = |runs, len, units, affine| Layout { runs, len, units, affine };
    for l in [
        new(64, 66_000, Units::Interleaved(32), Affine::Runs(32)),
        new(700, 6001, Units::Neighbours(1), Affine::Elements),
        new(1100, 3904, Units::Neighbours(2), Affine::Runs(4)),
    ] {
        let n = l.runs * l.len;
        assert!(l.past::<f32>());
        let (x, dy) = (noise(n, 1, 3.0), noise(n, 2, 0.1));
        let (w, b) = (noise(l.affine_len(), 3, 1.0), noise(l.affine_len(), 4, 0.0));
        let want = reference(l, &x, &dy, &w, &b, 1e-3);
        for isa in available() {
            with_isa(*isa, || close("f32", &run::<f32>(l, &x, &dy, &w, &b), &want, 5e-5));
        }
    }
}

#[test]
fn a_large_mean_costs_no_accuracy() {
    let l = Layout { runs: 2, len: 10_000, units: Units::Neighbours(1), affine: Affine::Runs(1) };
    let x: Vec<f32> = noise(20_000, 9, 4096.0).iter().map(|v| *v as f32).collect();
    let (mut mean, mut var) = ([0.0; 2], [0.0; 2]);
    let mut scratch = vec![0.0; l.scratch_len()];
    let out = [&mut x.clone()[..], &mut mean, &mut var];
    forward(l, &x, 0.0, [None; 2], out, &mut scratch);
    for (u, x) in x.chunks(10_000).enumerate() {
        let m = x.iter().map(|v| *v as f64).sum::<f64>() / 1e4;
        let v = x.iter().map(|v| (*v as f64 - m).powi(2)).sum::<f64>() / 1e4;
        assert!((mean[u] as f64 - m).abs() < 3e-4 && (var[u] as f64 - v).abs() < 1e-5 * v);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for l in layouts() {
        let n = l.runs * l.len;
        let (x, dy) = (noise(n, 1, 3.0), noise(n, 2, 0.1));
        let (w, b) = (noise(l.affine_len(), 3, 1.0), noise(l.affine_len(), 4, 0.0));
        let of = |threads| with_threads(threads, || run::<f32>(l, &x, &dy, &w, &b));
        for isa in available() {
            with_isa(*isa, || assert!(of(1) == of(2) && of(1) == of(3), "{l:?} {isa:?}"));
        }
    }
}

#[test]
fn weights_may_be_missing_and_gradients_unwanted() {
    for l in layouts() {
        let n = l.runs * l.len;
        let (x, dy) = (noise(n, 1, 3.0), noise(n, 2, 0.1));
        let (ones, zeros) = (vec![1.0; l.affine_len()], vec![0.0; l.affine_len()]);
        let want = reference(l, &x, &dy, &ones, &zeros, 1e-3);
        let (mut mean, mut var) = (vec![0.0; l.units()], vec![0.0; l.units()]);
        let mut scratch = vec![0.0; l.scratch_len()];
        for affine in [[None, None], [Some(&ones[..]), None], [None, Some(&zeros[..])]] {
            let (mut y, mut dx) = (x.clone(), x.clone());
            forward(l, &x, 1e-3, affine, [&mut y, &mut mean, &mut var], &mut scratch);
            let [weight, bias] = affine;
            let given = Given { mean: &mean, var: &var, eps: 1e-3, weight, bias };
            backward(l, given, &x, &dy, [&mut dx, &mut [], &mut []], &mut scratch);
            let (mut dw, mut db) = (ones.clone(), ones.clone());
            backward(l, given, &x, &dy, [&mut [], &mut dw, &mut db], &mut scratch);
            close("f64", &[y, dx, dw, db], &want, 1e-12);
        }
    }
}
