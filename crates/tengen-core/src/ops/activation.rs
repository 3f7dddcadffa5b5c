//! Activations.

use super::map;
use crate::op::Entry;

pub(super) const OPERATORS: &[&[Entry]] = &[MAPS];

map! {
    /// max(0, x), elementwise; the derivative at 0 is 0.
    relu = Relu(x) {
        f = L::sel(x.lt(L::c(0.0)), L::c(0.0), x);
        df(dy) = [L::sel(L::lt(L::c(0.0), x), dy, L::c(0.0))];
        int(x) = x.max(I::default());
    }

    /// min(max(0, x), 6), elementwise; the derivative at 0 and 6 is 0.
    relu6 = Relu6(x) {
        f = L::sel(x.lt(L::c(0.0)), L::c(0.0), L::sel(L::lt(L::c(6.0), x), L::c(6.0), x));
        df(dy) = [L::sel(L::and(L::lt(L::c(0.0), x), x.lt(L::c(6.0))), dy, L::c(0.0))];
        int(x) = x.clamp(I::default(), I::from_i64(6));
    }

    /// 1 / (1 + e⁻ˣ), elementwise.
    sigmoid = Sigmoid(x) {
        f = x.sigmoid();
        df(dy) = { let s = x.sigmoid(); [dy.mul(s.mul(L::c(1.0).sub(s)))] };
        // A half's rounding would be most of what is left of 1.
        by_value[F32 F64](y, dy) = dy.mul(y.mul(L::c(1.0).sub(y)));
    }

    /// min(max(x + 3, 0), 6) / 6, elementwise (Howard et al. 2019, "Searching for MobileNetV3").
    hsigmoid = Hsigmoid(x) {
        f = {
            let t = x.add(L::c(3.0));
            let t = L::sel(t.lt(L::c(0.0)), L::c(0.0), L::sel(L::lt(L::c(6.0), t), L::c(6.0), t));
            t.div(L::c(6.0))
        };
        df(dy) = [L::sel(x.abs().lt(L::c(3.0)), dy.div(L::c(6.0)), L::c(0.0))];
    }

    /// x·min(max(x + 3, 0), 6) / 6, elementwise (Howard et al. 2019, "Searching for MobileNetV3").
    hswish = Hswish(x) {
        f = {
            let t = x.add(L::c(3.0));
            let t = L::sel(t.lt(L::c(0.0)), L::c(0.0), L::sel(L::lt(L::c(6.0), t), L::c(6.0), t));
            x.mul(t).div(L::c(6.0))
        };
        df(dy) = {
            let mid = dy.mul(x.add(x).add(L::c(3.0))).div(L::c(6.0));
            [L::sel(x.lt(L::c(-3.0)), L::c(0.0), L::sel(L::lt(L::c(3.0), x), dy, mid))]
        };
    }

    /// x / (1 + e⁻ˣ), elementwise (Elfwing et al. 2017), also called swish.
    silu = Silu(x) {
        f = x.mul(x.sigmoid());
        df(dy) = {
            let s = x.sigmoid();
            [dy.mul(s.mul(x.mul(L::c(1.0).sub(s)).add(L::c(1.0))))]
        };
    }

    /// x·Φ(x), elementwise, with the exact normal distribution function Φ (Hendrycks and Gimpel
    /// 2016).
    gelu = Gelu(x) {
        f = x.mul(x.normal());
        df(dy) = [dy.mul(x.normal_slope())];
    }

    /// ln(1 + eˣ), elementwise, without overflow.
    softplus = Softplus(x) {
        f = L::sel(x.lt(L::c(0.0)), L::c(0.0), x).add(x.abs().neg().exp().log1p());
        df(dy) = [dy.mul(x.sigmoid())];
    }

    /// ln(1 / (1 + e⁻ˣ)), elementwise, without overflow.
    logsigmoid = Logsigmoid(x) {
        f = L::sel(L::lt(L::c(0.0), x), L::c(0.0), x).sub(x.abs().neg().exp().log1p());
        df(dy) = [dy.mul(x.neg().sigmoid())];
    }

    /// max(0, x) + slope·min(0, x), elementwise; the derivative at 0 is 1.
    leaky_relu = LeakyRelu(x; slope) {
        f = L::sel(L::le(L::c(0.0), x), x, x.mul(slope));
        df(dy) = [L::sel(L::le(L::c(0.0), x), dy, dy.mul(slope))];
    }

    /// x where |x| > threshold, else 0, elementwise; NaN stays. The derivative at ±threshold is 0.
    ///
    /// ```
    /// use tengen_core::{Tensor, ops};
    /// let x = Tensor::from_slice(&[-2.0f32, -0.5, 0.25, 1.0], &[4])?;
    /// assert_eq!(ops::hardshrink(&x, 0.5)?.to_vec::<f32>()?, [-2.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    hardshrink = Hardshrink(x; threshold) {
        f = L::sel(x.abs().le(threshold), L::c(0.0), x);
        df(dy) = [L::sel(x.abs().le(threshold), L::c(0.0), dy)];
    }

    /// min(max(x, lower), upper), elementwise; either bound may be infinite. The derivative at a
    /// bound is 1.
    clip = Clip(x; lower, upper) {
        f = {
            let t = L::sel(x.lt(lower), lower, x);
            L::sel(upper.lt(t), upper, t)
        };
        df(dy) = [L::sel(L::and(lower.le(x), x.le(upper)), dy, L::c(0.0))];
        int(x; lower, upper) = x.max(lower).min(upper);
    }
}
