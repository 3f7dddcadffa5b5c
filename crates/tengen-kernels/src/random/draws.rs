//! Distributions whose numbers take a varying amount of random bits.

use super::{Stream, ln, sin_cos_turn};

/// The random numbers that belong to one element of a stream.
///
/// What an element gets depends on nothing but the stream and the element, as everywhere in
/// [`random`](super). Parameters outside of a distribution's domain give NaN.
#[derive(Clone, Debug)]
pub struct Draws {
    stream: Stream,
    element: u64,
    version: u8,
    /// The half of the current block that was not used yet.
    kept: Option<f64>,
}

impl Draws {
    pub(super) fn new(stream: Stream, element: u64) -> Draws {
        Draws { stream, element, version: 0, kept: None }
    }

    /// A number uniform in [0, 1), of 53 bits.
    pub fn uniform(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let bits = self.stream.blocks::<1>(self.element, self.version);
        self.version = self.version.wrapping_add(1);
        let unit = |w: usize| {
            let word = u64::from(bits[w + 1][0]) << 32 | u64::from(bits[w][0]);
            (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
        };
        self.kept = Some(unit(2));
        unit(0)
    }

    /// The logarithm of a number uniform in (0, 1].
    fn ln_uniform(&mut self) -> f64 {
        ln(1.0 - self.uniform())
    }

    /// A standard normal number, by the method of Box and Muller (1958).
    pub fn normal(&mut self) -> f64 {
        let r = (-2.0 * self.ln_uniform()).sqrt();
        r * sin_cos_turn(self.uniform()).1
    }

    /// A number with the density exp(−x / scale) / scale, for scale ≥ 0.
    pub fn exponential(&mut self, scale: f64) -> f64 {
        if scale >= 0.0 { -self.ln_uniform() * scale } else { f64::NAN }
    }

    /// A number with the density xᵃ⁻¹ exp(−x / scale) / (Γ(a) scaleᵃ), for a shape a > 0 and a
    /// scale ≥ 0.
    pub fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        if scale >= 0.0 { self.ln_gamma(shape).exp() * scale } else { f64::NAN }
    }

    /// A number with the density xᵃ⁻¹ (1 − x)ᵇ⁻¹ / B(a, b), for a > 0 and b > 0.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        // In logarithms, because with small parameters both gamma numbers are close to 0.
        let (x, y) = (self.ln_gamma(a), self.ln_gamma(b));
        if x == f64::NEG_INFINITY && y == f64::NEG_INFINITY {
            // With parameters this small all the weight is at the ends.
            return if self.uniform() < a / (a + b) { 1.0 } else { 0.0 };
        }
        1.0 / (1.0 + (y - x).exp())
    }

    /// The logarithm of a gamma number with scale 1: the method of Marsaglia and Tsang, "A simple
    /// method for generating gamma variables", 2000.
    fn ln_gamma(&mut self, shape: f64) -> f64 {
        if !(shape > 0.0 && shape.is_finite()) {
            return f64::NAN;
        }
        // A shape below 1 comes from the shape above: X u^(1/a).
        let boost = if shape < 1.0 { self.ln_uniform() / shape } else { 0.0 };
        let d = if shape < 1.0 { shape + 1.0 } else { shape } - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        // More than 19 of 20 attempts succeed, so the bound is never met.
        for _ in 0..100 {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v > 0.0 {
                let v = v * v * v;
                if self.ln_uniform() < 0.5 * x * x + d - d * v + d * ln(v) {
                    return ln(d * v) + boost;
                }
            }
        }
        ln(d) + boost
    }

    /// A whole number k with probability λᵏ exp(−λ) / k!, for λ ≥ 0.
    ///
    /// From λ = 10 on by the method of Hörmann, "The transformed rejection method for generating
    /// Poisson random variables", 1993 (PTRS); below by adding exponential waiting times.
    pub fn poisson(&mut self, lambda: f64) -> f64 {
        if !(lambda >= 0.0 && lambda.is_finite()) {
            return f64::NAN;
        }
        if lambda < 10.0 {
            let (mut count, mut time) = (0.0, -self.ln_uniform());
            // Counts this high have probability below 1e-100.
            while time < lambda && count < 200.0 {
                count += 1.0;
                time -= self.ln_uniform();
            }
            return count;
        }
        let b = 0.931 + 2.53 * lambda.sqrt();
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        // At least three of four attempts succeed, so the bound is never met.
        for _ in 0..200 {
            let u = self.uniform() - 0.5;
            let v = 1.0 - self.uniform();
            let edge = 0.5 - u.abs();
            let k = ((2.0 * a / edge + b) * u + lambda + 0.43).floor();
            if edge >= 0.07 && v <= squeeze {
                return k;
            }
            if k < 0.0 || edge <= 0.0 || (edge < 0.013 && v > edge) {
                continue;
            }
            let bound = k * ln(lambda) - lambda - ln_factorial(k);
            if ln(v) + ln(inverse_alpha) - ln(a / (edge * edge) + b) <= bound {
                return k;
            }
        }
        lambda.floor()
    }
}

/// ln k!, by Stirling's series from 10 on.
fn ln_factorial(k: f64) -> f64 {
    if k < 10.0 {
        return ln((1..=k as u32).map(f64::from).product());
    }
    let r = 1.0 / (k * k);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / k;
    (k + 0.5) * ln(k) - k + 0.5 * ln(std::f64::consts::TAU) + series
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream { seed: 77, number: 3 };

    /// Mean and variance of many draws.
    fn moments(draw: impl Fn(&mut Draws) -> f64) -> (f64, f64) {
        const N: u64 = 100_000;
        let values: Vec<f64> = (0..N).map(|i| draw(&mut STREAM.draws(i))).collect();
        let mean = values.iter().sum::<f64>() / N as f64;
        (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / N as f64)
    }

    fn close((mean, variance): (f64, f64), expected_mean: f64, expected_variance: f64) {
        let deviation = expected_variance.sqrt();
        assert!((mean - expected_mean).abs() < 0.02 * deviation, "{mean} {expected_mean}");
        assert!(
            (variance / expected_variance - 1.0).abs() < 0.05,
            "{variance} {expected_variance}"
        );
    }

    #[test]
    fn distributions_have_their_mean_and_variance() {
        close(moments(Draws::uniform), 0.5, 1.0 / 12.0);
        close(moments(Draws::normal), 0.0, 1.0);
        close(moments(|d| d.exponential(2.0)), 2.0, 4.0);
        for a in [0.2, 0.9, 1.0, 3.5, 40.0] {
            close(moments(|d| d.gamma(a, 2.0)), 2.0 * a, 4.0 * a);
        }
        for (a, b) in [(0.3, 0.4), (1.0, 1.0), (2.0, 5.0)] {
            let s: f64 = a + b;
            close(moments(|d| d.beta(a, b)), a / s, a * b / (s * s * (s + 1.0)));
        }
        for lambda in [0.3, 4.0, 9.99, 10.0, 30.0, 1e6] {
            close(moments(|d| d.poisson(lambda)), lambda, lambda);
        }
    }

    #[test]
    fn poisson_numbers_have_their_probabilities() {
        for lambda in [3.0f64, 12.0] {
            const N: u64 = 200_000;
            let mut counts = [0.0; 64];
            (0..N).for_each(|i| counts[STREAM.draws(i).poisson(lambda) as usize] += 1.0);
            for (k, count) in counts.iter().enumerate() {
                let p = (k as f64 * lambda.ln() - lambda - ln_factorial(k as f64)).exp();
                let n = N as f64;
                assert!((count - n * p).abs() < 5.0 * (n * p).sqrt() + 3.0, "{lambda} {k} {count}");
            }
        }
    }

    #[test]
    fn limits_and_impossible_parameters() {
        let mut d = STREAM.draws(0);
        assert_eq!(d.poisson(0.0), 0.0);
        assert_eq!(d.exponential(0.0), 0.0);
        assert!(d.poisson(1e15) > 9e14);
        for a in [1e-3, 1e-300, f64::MIN_POSITIVE] {
            assert!((0.0..=1.0).contains(&d.beta(a, a)));
        }
        for bad in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(d.poisson(bad).is_nan() && d.gamma(bad, 1.0).is_nan());
            assert!(d.gamma(1.0, bad).is_nan() && d.exponential(bad).is_nan());
            assert!(d.beta(bad, 1.0).is_nan() && d.beta(1.0, bad).is_nan());
        }
        assert!(d.gamma(0.0, 1.0).is_nan() && d.poisson(f64::INFINITY).is_nan());
    }

    #[test]
    fn the_logarithm_of_the_factorial_is_accurate() {
        let mut sum = 0.0f64;
        for k in 1..200 {
            sum += f64::from(k).ln();
            assert!((ln_factorial(k.into()) - sum).abs() < 1e-9 * sum.max(1.0), "{k}");
        }
        assert_eq!(ln_factorial(0.0), 0.0);
    }
}
