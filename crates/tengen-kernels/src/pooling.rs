//! Two-dimensional pooling, plane by plane.
//!
//! Data is `[planes, height, width]`; to share work between threads, call these with the sub-slices
//! of some planes. Every window is first reduced over its rows, into a buffer, and then along the
//! buffer: most of the work is on contiguous runs, and padding is only ever seen by the buffer.

use crate::multiversion::with_avx2;
use std::ops::{Add, Div};

/// A floating-point type that can be pooled.
pub trait Float: Copy + PartialOrd + Add<Output = Self> + Div<Output = Self> + Send + Sync {
    /// Zero.
    const ZERO: Self;
    /// Less than every number.
    const NEG_INFINITY: Self;
    /// The count as a number.
    fn from_count(n: usize) -> Self;
}

macro_rules! float {
    ($($t:ident)*) => {$(
        impl Float for $t {
            const ZERO: $t = 0.0;
            const NEG_INFINITY: $t = $t::NEG_INFINITY;
            #[inline(always)]
            fn from_count(n: usize) -> $t {
                n as $t
            }
        }
    )*};
}
float!(f32 f64);

/// The geometry of a pooling; pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    input: (usize, usize),
    output: (usize, usize),
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
}

impl Pool2d {
    /// Windows of size `kernel`, `stride` apart, over an input with `padding` on every side. `None`
    /// if a kernel or stride is 0, a padding is not less than the kernel, the kernel exceeds the
    /// padded input, or a size overflows.
    pub fn new(
        input: (usize, usize),
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
    ) -> Option<Pool2d> {
        let windows = |n: usize, k: usize, s: usize, p: usize| {
            let padded = n.checked_add(p.checked_mul(2)?)?;
            // Offsets into a plane are computed as isize.
            isize::try_from(padded).ok()?;
            if n == 0 || p >= k {
                return None;
            }
            Some(padded.checked_sub(k)?.checked_div(s)? + 1)
        };
        let output = (
            windows(input.0, kernel.0, stride.0, padding.0)?,
            windows(input.1, kernel.1, stride.1, padding.1)?,
        );
        input.0.checked_mul(input.1)?;
        output.0.checked_mul(output.1)?;
        Some(Pool2d { input, output, kernel, stride, padding })
    }

    /// Equal windows that spread evenly over the input and give `output`: with
    /// stride = ⌊input / output⌋, kernel = input − (output − 1) · stride. `None` if `output` is 0 or
    /// exceeds `input`.
    pub fn adaptive(input: (usize, usize), output: (usize, usize)) -> Option<Pool2d> {
        let window = |n: usize, o: usize| {
            let stride = n.checked_div(o).filter(|&s| s > 0)?;
            Some((n - (o - 1) * stride, stride))
        };
        let ((kh, sh), (kw, sw)) = (window(input.0, output.0)?, window(input.1, output.1)?);
        Pool2d::new(input, (kh, kw), (sh, sw), (0, 0))
    }

    /// The size of an input plane.
    pub fn input(&self) -> (usize, usize) {
        self.input
    }

    /// The size of an output plane.
    pub fn output(&self) -> (usize, usize) {
        self.output
    }

    /// How many planes there are, given the lengths of inputs and outputs.
    fn planes(&self, input: usize, output: usize) -> usize {
        let planes = input / (self.input.0 * self.input.1);
        assert_eq!(planes * self.input.0 * self.input.1, input, "pooling: input length");
        assert_eq!(planes * self.output.0 * self.output.1, output, "pooling: output length");
        planes
    }

    /// The input rows that the windows of an output row cover.
    fn rows(&self, oy: usize) -> std::ops::Range<usize> {
        let end = oy * self.stride.0 + self.kernel.0 - self.padding.0;
        (end.saturating_sub(self.kernel.0))..end.min(self.input.0)
    }

    /// Splits an output row into blocks whose windows fit the buffer.
    fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let (kernel, stride, padding) = (self.kernel.1, self.stride.1, self.padding.1);
        let (input, output) = (self.input.1, self.output.1);
        let width = (BUFFER.saturating_sub(kernel) / stride + 1).min(output);
        (0..output).step_by(width).map(move |from| {
            let width = width.min(output - from);
            let start = from * stride;
            let left = padding.saturating_sub(start);
            let span = (width - 1) * stride + kernel;
            let x = start.saturating_sub(padding);
            Block { from, width, span, left, x, len: (span - left).min(input - x) }
        })
    }
}

/// The most columns that a block covers. Wider windows are pooled element by element.
const BUFFER: usize = 512;
/// The length of a buffer; the excess lets the last stride be read whole.
const BUFFER_LEN: usize = BUFFER + 2;

/// Neighbouring outputs of one row, and the columns that their windows cover.
#[derive(Clone, Copy)]
struct Block {
    /// The first output column.
    from: usize,
    /// How many outputs.
    width: usize,
    /// How many columns, padding included.
    span: usize,
    /// How many of them are padding on the left.
    left: usize,
    /// The first input column.
    x: usize,
    /// How many input columns.
    len: usize,
}

/// Max pooling. A window with a NaN gives NaN.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T]) {
    p.planes(src.len(), dst.len());
    with_avx2!(T: Float, max_planes(p: &Pool2d, src: &[T], dst: &mut [T]))
}

/// Whether `v` replaces the maximum `best` of earlier elements.
#[inline(always)]
#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn exceeds<T: Float>(v: T, best: T) -> bool {
    (v > best) | ((v != v) & (best == best))
}

#[inline(always)]
fn max_planes<T: Float>(p: &Pool2d, src: &[T], dst: &mut [T]) {
    let max = |best: T, v: T| if exceeds(v, best) { v } else { best };
    reduce_planes(p, src, dst, T::NEG_INFINITY, max, |_, _, _| {});
}

/// Which elements the mean is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountMode {
    /// The whole window, with padding as zeros.
    IncludePadding,
    /// The elements that are not padding.
    ExcludePadding,
}

/// Average pooling.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn avg_pool2d<T: Float>(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]) {
    p.planes(src.len(), dst.len());
    with_avx2!(T: Float, avg_planes(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]))
}

#[inline(always)]
fn avg_planes<T: Float>(p: &Pool2d, mode: CountMode, src: &[T], dst: &mut [T]) {
    let add = |sum: T, v: T| sum + v;
    reduce_planes(p, src, dst, T::ZERO, add, |oy, b, dst| divide(p, mode, oy, b, dst));
}

/// Divides a block of output row `oy` by the counts of its windows.
#[inline(always)]
fn divide<T: Float>(p: &Pool2d, mode: CountMode, oy: usize, b: Block, out: &mut [T]) {
    if mode == CountMode::IncludePadding || p.padding == (0, 0) {
        let n = T::from_count(p.kernel.0 * p.kernel.1);
        out.iter_mut().for_each(|v| *v = *v / n);
        return;
    }
    let rows = p.rows(oy).len();
    for (i, v) in out.iter_mut().enumerate() {
        let end = (b.from + i) * p.stride.1 + p.kernel.1 - p.padding.1;
        let columns = end.min(p.input.1) - end.saturating_sub(p.kernel.1);
        *v = *v / T::from_count(rows * columns);
    }
}

/// Folds every window, rows first; `finish(output row, block, outputs)` follows each block.
#[inline(always)]
fn reduce_planes<T: Float>(
    p: &Pool2d,
    src: &[T],
    dst: &mut [T],
    start: T,
    fold: impl Fn(T, T) -> T,
    finish: impl Fn(usize, Block, &mut [T]),
) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let mut buffer = [start; BUFFER_LEN];
    for (plane, src) in src.chunks_exact(h * w).enumerate() {
        for oy in 0..oh {
            let line = (plane * oh + oy) * ow;
            for b in p.blocks() {
                let dst = &mut dst[line + b.from..line + b.from + b.width];
                dst.fill(start);
                if b.span > BUFFER {
                    for y in p.rows(oy) {
                        let row = src[y * w + b.x..y * w + b.x + b.len].iter();
                        let row = row.fold(start, |a, &v| fold(a, v));
                        dst.iter_mut().for_each(|d| *d = fold(*d, row));
                    }
                } else {
                    buffer[..b.span].fill(start);
                    for y in p.rows(oy) {
                        let row = &src[y * w + b.x..y * w + b.x + b.len];
                        let to = &mut buffer[b.left..b.left + b.len];
                        to.iter_mut().zip(row).for_each(|(t, &v)| *t = fold(*t, v));
                    }
                    for k in 0..p.kernel.1 {
                        let to = dst.iter_mut();
                        let from = &buffer[k..];
                        match p.stride.1 {
                            1 => to.zip(from).for_each(|(d, &v)| *d = fold(*d, v)),
                            2 => to
                                .zip(from.as_chunks::<2>().0)
                                .for_each(|(d, v)| *d = fold(*d, v[0])),
                            s => {
                                to.zip(from.iter().step_by(s)).for_each(|(d, &v)| *d = fold(*d, v))
                            }
                        }
                    }
                }
                finish(oy, b, dst);
            }
        }
    }
}

/// The gradient of max pooling: each `dy` is added to `dx` at every element of its window that
/// equals the maximum `y`. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d_backward<T: Float>(p: &Pool2d, src: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    p.planes(src.len(), y.len());
    p.planes(dx.len(), dy.len());
    assert_eq!(src.len(), dx.len(), "max_pool2d_backward: lengths");
    dx.fill(T::ZERO);
    with_avx2!(T: Float, spread(p: &Pool2d, src: &[T], y: &[T], dy: &[T], dx: &mut [T]))
}

#[inline(always)]
fn spread<T: Float>(p: &Pool2d, src: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    let share = |s: T, y: T, g: T| if s == y { g } else { T::ZERO };
    runs(p, src.len(), |r| {
        let (xs, src) = (&mut dx[r.elements()], &src[r.elements()]);
        let (ys, gs) = (&y[r.outputs()], &dy[r.outputs()]);
        match r.step {
            0 => xs.iter_mut().zip(src).for_each(|(d, s)| *d = *d + share(*s, ys[0], gs[0])),
            1 => (xs.iter_mut().zip(src).zip(ys.iter().zip(gs)))
                .for_each(|((d, s), (y, g))| *d = *d + share(*s, *y, *g)),
            k => (xs.iter_mut().step_by(k).zip(src.iter().step_by(k)).zip(ys.iter().zip(gs)))
                .for_each(|((d, s), (y, g))| *d = *d + share(*s, *y, *g)),
        }
    });
}

/// The gradient of [`max_pool2d_backward`] to its `dy`: the sum of `v` over the elements of each
/// window that equal its maximum `y`. `dst` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d_gather<T: Float>(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]) {
    p.planes(src.len(), y.len());
    p.planes(v.len(), dst.len());
    assert_eq!(src.len(), v.len(), "max_pool2d_gather: lengths");
    dst.fill(T::ZERO);
    with_avx2!(T: Float, gather(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]))
}

#[inline(always)]
fn gather<T: Float>(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]) {
    let share = |s: T, y: T, v: T| if s == y { v } else { T::ZERO };
    runs(p, src.len(), |r| {
        let elements = src[r.elements()].iter().zip(&v[r.elements()]);
        if r.step == 0 {
            let (d, y) = (&mut dst[r.output], y[r.output]);
            elements.for_each(|(s, v)| *d = *d + share(*s, y, *v));
        } else {
            let outputs = dst[r.outputs()].iter_mut().zip(&y[r.outputs()]);
            (elements.step_by(r.step).zip(outputs))
                .for_each(|((s, v), (d, y))| *d = *d + share(*s, *y, *v));
        }
    });
}

/// Neighbouring outputs of one row, each with one element of its window; or, if `step` is 0, one
/// output with neighbouring elements of a row of its window.
struct Run {
    /// The first element's position.
    at: usize,
    /// From one output's element to the next one's.
    step: usize,
    /// The first output.
    output: usize,
    /// How many pairs; at least one.
    n: usize,
}

impl Run {
    #[inline(always)]
    fn elements(&self) -> std::ops::Range<usize> {
        self.at..self.at + (self.n - 1) * self.step.max(1) + 1
    }
    #[inline(always)]
    fn outputs(&self) -> std::ops::Range<usize> {
        self.output..self.output + if self.step == 0 { 1 } else { self.n }
    }
}

/// Calls `f` for all pairs of an output and an element of its window, in runs, for planes with
/// `len` elements in all.
#[inline(always)]
fn runs(p: &Pool2d, len: usize, mut f: impl FnMut(Run)) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let (kernel, stride, padding) = (p.kernel.1, p.stride.1, p.padding.1);
    for plane in 0..len / (h * w) {
        for oy in 0..oh {
            let out = (plane * oh + oy) * ow;
            for y in p.rows(oy) {
                let row = (plane * h + y) * w;
                // The longer of the two is the run.
                if ow < kernel {
                    for ox in 0..ow {
                        let end = ox * stride + kernel - padding;
                        let x = end.saturating_sub(kernel);
                        f(Run { at: row + x, step: 0, output: out + ox, n: end.min(w) - x });
                    }
                    continue;
                }
                for k in 0..kernel {
                    let from = padding.saturating_sub(k).div_ceil(stride);
                    let to = (w + padding).saturating_sub(k).div_ceil(stride).min(ow);
                    if from < to {
                        let at = row + from * stride + k - padding;
                        f(Run { at, step: stride, output: out + from, n: to - from });
                    }
                }
            }
        }
    }
}

/// The gradient of average pooling. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn avg_pool2d_backward<T: Float>(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]) {
    p.planes(dx.len(), dy.len());
    with_avx2!(T: Float, avg_planes_backward(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]))
}

#[inline(always)]
fn avg_planes_backward<T: Float>(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let mut buffer = [T::ZERO; BUFFER_LEN];
    let mut shares = [T::ZERO; BUFFER];
    for (dx, dy) in dx.chunks_exact_mut(h * w).zip(dy.chunks_exact(oh * ow)) {
        dx.fill(T::ZERO);
        for oy in 0..oh {
            for b in p.blocks() {
                let shares = &mut shares[..b.width];
                shares.copy_from_slice(&dy[oy * ow + b.from..oy * ow + b.from + b.width]);
                divide(p, mode, oy, b, shares);
                if b.span > BUFFER {
                    for y in p.rows(oy) {
                        let row = &mut dx[y * w + b.x..y * w + b.x + b.len];
                        row.iter_mut().for_each(|d| *d = *d + shares[0]);
                    }
                    continue;
                }
                buffer[..b.span].fill(T::ZERO);
                for k in 0..p.kernel.1 {
                    let from = shares.iter();
                    let to = &mut buffer[k..];
                    match p.stride.1 {
                        1 => to.iter_mut().zip(from).for_each(|(t, &g)| *t = *t + g),
                        2 => to
                            .as_chunks_mut::<2>()
                            .0
                            .iter_mut()
                            .zip(from)
                            .for_each(|(t, &g)| t[0] = t[0] + g),
                        s => to.iter_mut().step_by(s).zip(from).for_each(|(t, &g)| *t = *t + g),
                    }
                }
                for y in p.rows(oy) {
                    let row = &mut dx[y * w + b.x..y * w + b.x + b.len];
                    let from = &buffer[b.left..b.left + b.len];
                    row.iter_mut().zip(from).for_each(|(d, &g)| *d = *d + g);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
                let (mut dx, mut expected_dx) = (vec![9.0; 2 * n], vec![0.0; 2 * n]);
                max_pool2d_backward(&p, &src, &y, &dy, &mut dx);
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
                assert_eq!(dx, expected_dx, "{p:?}");
                assert_eq!(sums, expected_sums, "{p:?}");
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
}
