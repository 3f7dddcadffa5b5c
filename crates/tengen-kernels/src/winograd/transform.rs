//! The transforms of F(4, 3) along one axis, for registers.
//!
//! Cook–Toom: for distinct points pᵢ and the point at infinity, with Nᵢ = Π_{k≠i}(pᵢ − pₖ),
//! - column i of Aᵀ holds the powers of pᵢ, the last one (0, …, 0, 1);
//! - row i of G holds the powers of pᵢ over Nᵢ, the last one (0, 0, 1);
//! - row i of Bᵀ holds the coefficients of Π_{k≠i}(x − pₖ), the last one of Π(x − pₖ).
//!
//! The points come in pairs ±p, whose rows differ in the signs of odd powers only: even and odd
//! parts are computed once for both.

use crate::lanes::Lane;

/// The finite points are 0, ±[`P`] and ±[`Q`]. Powers of ¾ and 3/2 are exact and closer to 1 than
/// those of 1 and 2, which halves the error.
pub(super) const P: f64 = 0.75;
/// See [`P`].
pub(super) const Q: f64 = 1.5;

const P2: f64 = P * P;
const Q2: f64 = Q * Q;
/// Nᵢ of the points 0, ±p and ±q.
const N0: f64 = P2 * Q2;
const NP: f64 = 2.0 * P2 * (P2 - Q2);
const NQ: f64 = 2.0 * Q2 * (Q2 - P2);

#[inline(always)]
fn c<L: Lane<T = f32>>(v: f64) -> L {
    L::splat(v as f32)
}

/// Even + odd and even − odd: the rows of a pair of points.
#[inline(always)]
fn pair<L: Lane>(even: L, odd: L) -> (L, L) {
    (even.add(odd), even.sub(odd))
}

/// Bᵀ·d, of pixels.
#[inline(always)]
pub(super) fn input<L: Lane<T = f32>>(d: [L; 6]) -> [L; 6] {
    let (p, q) = (c::<L>(-P2), c::<L>(-Q2));
    let sum = c::<L>(-(P2 + Q2));
    let (even_p, odd_p) = (q.fma(d[2], d[4]), q.fma(d[1], d[3]));
    let (even_q, odd_q) = (p.fma(d[2], d[4]), p.fma(d[1], d[3]));
    [
        c::<L>(N0).fma(d[0], sum.fma(d[2], d[4])),
        c::<L>(P).fma(odd_p, even_p),
        c::<L>(-P).fma(odd_p, even_p),
        c::<L>(Q).fma(odd_q, even_q),
        c::<L>(-Q).fma(odd_q, even_q),
        c::<L>(N0).fma(d[1], sum.fma(d[3], d[5])),
    ]
}

/// Aᵀ·m, of products.
#[inline(always)]
pub(super) fn output<L: Lane<T = f32>>(m: [L; 6]) -> [L; 4] {
    let ((even_p, odd_p), (even_q, odd_q)) = (pair(m[1], m[2]), pair(m[3], m[4]));
    [
        m[0].add(even_p.add(even_q)),
        c::<L>(P).fma(odd_p, c::<L>(Q).mul(odd_q)),
        c::<L>(P2).fma(even_p, c::<L>(Q2).mul(even_q)),
        c::<L>(P * P2).fma(odd_p, c::<L>(Q * Q2).fma(odd_q, m[5])),
    ]
}

/// G·g, of taps.
#[inline(always)]
pub(super) fn filter<L: Lane<T = f32>>(g: [L; 3]) -> [L; 6] {
    let even_p = c::<L>(P2 / NP).fma(g[2], c::<L>(1.0 / NP).mul(g[0]));
    let even_q = c::<L>(Q2 / NQ).fma(g[2], c::<L>(1.0 / NQ).mul(g[0]));
    let (a, b) = pair(even_p, c::<L>(P / NP).mul(g[1]));
    let (d, e) = pair(even_q, c::<L>(Q / NQ).mul(g[1]));
    [c::<L>(1.0 / N0).mul(g[0]), a, b, d, e, g[2]]
}

/// A·y: [`output`] transposed, of gradients to pixels of the result.
#[inline(always)]
pub(super) fn output_transposed<L: Lane<T = f32>>(y: [L; 4]) -> [L; 6] {
    let even_p = c::<L>(P2).fma(y[2], y[0]);
    let even_q = c::<L>(Q2).fma(y[2], y[0]);
    let (a, b) = pair(even_p, c::<L>(P * P2).fma(y[3], c::<L>(P).mul(y[1])));
    let (d, e) = pair(even_q, c::<L>(Q * Q2).fma(y[3], c::<L>(Q).mul(y[1])));
    [y[0], a, b, d, e, y[3]]
}

/// Gᵀ·u: [`filter`] transposed, of gradients to transformed filters.
#[inline(always)]
pub(super) fn filter_transposed<L: Lane<T = f32>>(u: [L; 6]) -> [L; 3] {
    let ((even_p, odd_p), (even_q, odd_q)) = (pair(u[1], u[2]), pair(u[3], u[4]));
    let zero = c::<L>(1.0 / NP).fma(even_p, c::<L>(1.0 / NQ).mul(even_q));
    [
        c::<L>(1.0 / N0).fma(u[0], zero),
        c::<L>(P / NP).fma(odd_p, c::<L>(Q / NQ).mul(odd_q)),
        c::<L>(P2 / NP).fma(even_p, c::<L>(Q2 / NQ).fma(even_q, u[5])),
    ]
}

/// Applies a transform to the columns and then to the rows of a square: `load` gives the element at
/// (row, column) of the square of `I`, `store` takes that of the square of `O`. A macro, because
/// what a closure calls is not always compiled for the caller's instruction set.
macro_rules! both_axes {
    ($along:path, $L:ident, $I:expr => $O:expr, |$r:ident, $c:ident| $load:expr,
     |$y:ident, $x:ident, $v:ident| $store:expr) => {{
        let mut half = [[$L::splat(0.0); $I]; $O];
        for $c in 0..$I {
            let mut d = [$L::splat(0.0); $I];
            for $r in 0..$I {
                d[$r] = $load;
            }
            let d = $along(d);
            for $y in 0..$O {
                half[$y][$c] = d[$y];
            }
        }
        for $y in 0..$O {
            let d = $along(half[$y]);
            for $x in 0..$O {
                let $v = d[$x];
                $store;
            }
        }
    }};
}
pub(super) use both_axes;

/// Transposes a square of registers: `load` gives register `j`, `store` takes it. A macro for the
/// same reason.
macro_rules! turn {
    ($L:ident, |$j:ident| $load:expr, |$k:ident, $v:ident| $store:expr) => {{
        let mut square = [$L::splat(0.0); 16];
        for $j in 0..$L::W {
            square[$j] = $load;
        }
        $L::transpose(&mut square);
        for $k in 0..$L::W {
            let $v = square[$k];
            $store;
        }
    }};
}
pub(super) use turn;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Arch, Portable};

    type F = <Portable as Arch>::F32;

    /// The product of (x − p) over the given points, as coefficients from the constant on.
    fn polynomial(points: impl Iterator<Item = f64>) -> [f64; 6] {
        let mut all = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for p in points {
            for i in (0..6).rev() {
                all[i] = if i > 0 { all[i - 1] } else { 0.0 } - p * all[i];
            }
        }
        all
    }

    const POINTS: [f64; 5] = [0.0, P, -P, Q, -Q];

    type Matrix<const R: usize, const C: usize> = [[f64; C]; R];

    /// Aᵀ, G and Bᵀ by their definition.
    fn matrices() -> (Matrix<4, 6>, Matrix<6, 3>, Matrix<6, 6>) {
        let (mut a, mut g, mut b) = ([[0.0; 6]; 4], [[0.0; 3]; 6], [[0.0; 6]; 6]);
        for (i, p) in POINTS.into_iter().enumerate() {
            let others = || (0..5).filter(move |k| *k != i).map(|k| POINTS[k]);
            let n: f64 = others().map(|o| p - o).product();
            (0..4).for_each(|j| a[j][i] = p.powi(j as i32));
            (0..3).for_each(|j| g[i][j] = p.powi(j as i32) / n);
            b[i] = polynomial(others());
        }
        (a[3][5], g[5][2], b[5]) = (1.0, 1.0, polynomial(POINTS.into_iter()));
        (a, g, b)
    }

    /// Column `j` of a transform.
    fn column<const I: usize, const O: usize>(
        along: impl Fn([F; I]) -> [F; O],
        j: usize,
    ) -> [f64; O] {
        let mut unit = [F::splat(0.0); I];
        unit[j] = F::splat(1.0);
        along(unit).map(|v| v.sum() as f64)
    }

    #[test]
    fn transforms_are_the_matrices_of_the_definition() {
        let (a, g, b) = matrices();
        let near = |x: f64, y: f64| assert!((x - y).abs() <= 1e-7 * y.abs(), "{x} {y}");
        for j in 0..6 {
            (0..6).for_each(|i| near(column(input, j)[i], b[i][j]));
            (0..4).for_each(|i| near(column(output, j)[i], a[i][j]));
            (0..3).for_each(|i| near(column(filter_transposed, j)[i], g[j][i]));
        }
        for j in 0..4 {
            (0..6).for_each(|i| near(column(output_transposed, j)[i], a[j][i]));
        }
        for j in 0..3 {
            (0..6).for_each(|i| near(column(filter, j)[i], g[i][j]));
        }
    }

    #[test]
    fn the_definition_convolves() {
        let (a, g, b) = matrices();
        let (d, w) = ([1.0, -2.0, 0.5, 3.0, -1.5, 2.5], [0.25, -1.0, 2.0]);
        for (j, row) in a.iter().enumerate() {
            let got: f64 = (0..6)
                .map(|i| {
                    let u: f64 = (0..3).map(|k| g[i][k] * w[k]).sum();
                    let v: f64 = (0..6).map(|k| b[i][k] * d[k]).sum();
                    row[i] * u * v
                })
                .sum();
            let want: f64 = (0..3).map(|k| w[k] * d[j + k]).sum();
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }
}
