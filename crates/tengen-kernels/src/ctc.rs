//! Connectionist temporal classification: the probability of a label under independent
//! distributions of classes for each step, summed over all alignments.
//!
//! An alignment gives each step a class or the blank; dropping repetitions and then blanks leaves
//! the label. With the label spread as blank, l₁, blank, …, l_k, blank, forward sums run over
//! alignments of the first steps, backward sums over those of the last, both as logarithms in f64.
//!
//! Source: Graves et al., "Connectionist temporal classification", ICML 2006.

/// ln(eᵃ + eᵇ)
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `n` times `v`, if there is memory.
fn filled(n: usize, v: f64) -> Option<Vec<f64>> {
    let mut all = Vec::new();
    all.try_reserve_exact(n).ok()?;
    all.resize(n, v);
    Some(all)
}

/// The label with blanks between, before and behind.
struct Spread<'a> {
    label: &'a [i32],
    blank: usize,
}

impl Spread<'_> {
    fn len(&self) -> usize {
        2 * self.label.len() + 1
    }

    fn class(&self, s: usize) -> usize {
        if s.is_multiple_of(2) { self.blank } else { self.label[s / 2] as usize }
    }

    /// Whether an alignment may go from position `s − 2` to `s`, past a blank.
    fn skips(&self, s: usize) -> bool {
        s >= 3 && s % 2 == 1 && self.label[s / 2] != self.label[s / 2 - 1]
    }
}

/// −ln of the probability of `label` under `steps` distributions, whose probabilities `p` gives by
/// step and class; and, through `grad(step, class, value)`, parts of its derivative to them, which
/// are to be added up. The loss of an impossible label is infinite, and its derivative 0.
///
/// `None` if the memory for `steps` numbers at each of 2·label + 1 positions cannot be had.
///
/// # Panics
/// If a class of the label is negative.
pub fn ctc(
    steps: usize,
    label: &[i32],
    blank: usize,
    p: impl Fn(usize, usize) -> f64,
    grad: Option<&mut dyn FnMut(usize, usize, f64)>,
) -> Option<f64> {
    const NONE: f64 = f64::NEG_INFINITY;
    let path = Spread { label, blank };
    let n = path.len();
    if steps == 0 {
        return Some(if label.is_empty() { 0.0 } else { f64::INFINITY });
    }
    // arrive[t·n + s]: ln of the sum over alignments of the steps before t that may go on to s.
    let mut arrive = filled(steps.checked_mul(n)?, NONE)?;
    arrive[..n.min(2)].fill(0.0);
    let mut now = filled(n, NONE)?;
    for t in 0..steps {
        for s in 0..n {
            now[s] = arrive[t * n + s] + p(t, path.class(s)).ln();
        }
        if t + 1 < steps {
            for s in 0..n {
                let mut sum = now[s];
                if s >= 1 {
                    sum = log_add(sum, now[s - 1]);
                }
                if path.skips(s) {
                    sum = log_add(sum, now[s - 2]);
                }
                arrive[(t + 1) * n + s] = sum;
            }
        }
    }
    let total = now[n.saturating_sub(2)..].iter().copied().fold(NONE, log_add);
    let Some(grad) = grad else { return Some(-total) };
    if total == NONE {
        return Some(-total);
    }
    // leave[s]: ln of the sum over alignments of the steps after t that may come from s.
    let mut leave = filled(n, NONE)?;
    leave[n.saturating_sub(2)..].fill(0.0);
    for t in (0..steps).rev() {
        for s in 0..n {
            let share = arrive[t * n + s] + leave[s] - total;
            if share > NONE {
                grad(t, path.class(s), -share.exp());
            }
        }
        for s in 0..n {
            now[s] = leave[s] + p(t, path.class(s)).ln();
        }
        for s in 0..n {
            let mut sum = now[s];
            if s + 1 < n {
                sum = log_add(sum, now[s + 1]);
            }
            if s + 2 < n && path.skips(s + 2) {
                sum = log_add(sum, now[s + 2]);
            }
            leave[s] = sum;
        }
    }
    Some(-total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability as the sum over all alignments.
    fn brute(p: &[Vec<f64>], label: &[i32], blank: usize) -> f64 {
        let classes = p[0].len();
        let mut total = 0.0;
        for code in 0..classes.pow(p.len() as u32) {
            let (mut rest, mut product, mut collapsed, mut last) = (code, 1.0, vec![], usize::MAX);
            for row in p {
                let c = rest % classes;
                rest /= classes;
                product *= row[c];
                if c != last && c != blank {
                    collapsed.push(c as i32);
                }
                last = c;
            }
            if collapsed == label {
                total += product;
            }
        }
        total
    }

    fn table(steps: usize, classes: usize) -> Vec<Vec<f64>> {
        let cell = |t: usize, c: usize| 0.05 + ((t * 7 + c * 5 + 3) % 11) as f64 / 13.0;
        (0..steps).map(|t| (0..classes).map(|c| cell(t, c)).collect()).collect()
    }

    #[test]
    fn it_sums_over_all_alignments() {
        for steps in 1..=5 {
            let p = table(steps, 3);
            for blank in 0..3 {
                let (a, b) = ((blank as i32 + 1) % 3, (blank as i32 + 2) % 3);
                for label in [&[][..], &[a], &[a, b], &[a, a], &[b, a, b], &[a, a, b]] {
                    let loss = ctc(steps, label, blank, |t, c| p[t][c], None).unwrap();
                    let want = -brute(&p, label, blank).ln();
                    assert!(loss == want || (loss - want).abs() < 1e-12, "{label:?} {steps}");
                }
            }
        }
    }

    #[test]
    fn its_derivative_is_that_of_the_sum() {
        let mut p = table(5, 3);
        for label in [&[][..], &[1], &[1, 2], &[2, 2, 1]] {
            let mut grad = vec![vec![0.0; 3]; 5];
            let q = p.clone();
            ctc(5, label, 0, |t, c| q[t][c], Some(&mut |t, c, v| grad[t][c] += v));
            for t in 0..5 {
                for c in 0..3 {
                    let mut at = |v: f64| {
                        let old = std::mem::replace(&mut p[t][c], q[t][c] + v);
                        let loss = ctc(5, label, 0, |t, c| p[t][c], None).unwrap();
                        p[t][c] = old;
                        loss
                    };
                    let want = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((grad[t][c] - want).abs() < 1e-8, "{label:?} {t} {c}");
                }
            }
        }
    }

    #[test]
    fn labels_that_do_not_fit_have_no_probability() {
        let mut parts = 0;
        let loss = ctc(2, &[1, 1], 0, |_, _| 0.5, Some(&mut |_, _, _| parts += 1));
        assert_eq!((loss, parts), (Some(f64::INFINITY), 0));
        assert_eq!(ctc(0, &[], 0, |_, _| 0.5, None), Some(0.0));
        assert_eq!(ctc(0, &[1], 0, |_, _| 0.5, None), Some(f64::INFINITY));
    }
}
