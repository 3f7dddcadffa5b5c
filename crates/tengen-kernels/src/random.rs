//! Counter-based random numbers: Philox4x32-10.
//!
//! A [`Stream`] is an endless row of random bits that can be read at any place: element `i` depends
//! on the seed, the stream's number and `i` alone. Threads that fill parts of an array, or one that
//! fills all of it, write the same values, and so does every machine, as only additions,
//! multiplications, divisions and square roots are used.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

mod draws;
#[cfg(test)]
mod tests;

pub use draws::Draws;

use crate::multiversion::with_avx2;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// How many counters are enciphered together.
const LANES: usize = 16;

/// Blocks of 128 bits, word by word.
type Blocks<const L: usize = LANES> = [[u32; L]; 4];

/// Enciphers counters under a key: lane `l` of the result is the Philox4x32-10 block of the counter
/// in lane `l`.
#[inline(always)]
fn philox<const L: usize>(key: [u32; 2], mut c: Blocks<L>) -> Blocks<L> {
    let mut k = key;
    for _ in 0..ROUNDS {
        let [c0, c1, c2, c3] = &mut c;
        for (((c0, c1), c2), c3) in c0.iter_mut().zip(c1).zip(c2).zip(c3) {
            let p0 = u64::from(MULTIPLIERS[0]) * u64::from(*c0);
            let p1 = u64::from(MULTIPLIERS[1]) * u64::from(*c2);
            let x = (p1 >> 32) as u32 ^ *c1 ^ k[0];
            let y = (p0 >> 32) as u32 ^ *c3 ^ k[1];
            (*c0, *c1, *c2, *c3) = (x, p1 as u32, y, p0 as u32);
        }
        k = [k[0].wrapping_add(KEY_STEPS[0]), k[1].wrapping_add(KEY_STEPS[1])];
    }
    c
}

/// An endless row of 128-bit blocks of random bits.
///
/// A generator hands out one stream for each array that it fills and numbers them 0, 1, 2, ….
/// Streams with different seeds or numbers share no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The seed.
    pub seed: u64,
    /// The number of the stream, below 2⁵⁶.
    pub number: u64,
}

impl Stream {
    /// Neighbouring blocks. A block can be drawn again in up to 256 versions.
    #[inline(always)]
    fn blocks<const L: usize>(self, first: u64, version: u8) -> Blocks<L> {
        let high = (self.number >> 32) as u32 & 0x00FF_FFFF | u32::from(version) << 24;
        let blocks: [u64; L] = std::array::from_fn(|l| first.wrapping_add(l as u64));
        let (low, high) = (blocks.map(|b| b as u32), [high; L]);
        let counters = [low, blocks.map(|b| (b >> 32) as u32), [self.number as u32; L], high];
        philox([self.seed as u32, (self.seed >> 32) as u32], counters)
    }

    /// The random numbers that belong to one element, for distributions that need several.
    pub fn draws(self, element: u64) -> Draws {
        Draws::new(self, element)
    }
}

/// A floating-point type that random numbers come in.
pub trait Real: Copy + Into<f64> + Send + Sync + 'static {
    /// How many elements one block makes.
    #[doc(hidden)]
    const PER_BLOCK: usize;
    /// Zero.
    #[doc(hidden)]
    const ZERO: Self;
    /// Numbers in [0, 1) for elements `2 * pair` and `2 * pair + 1` of every block.
    #[doc(hidden)]
    fn units(bits: &Blocks, pair: usize) -> [[Self; LANES]; 2];
    /// Numbers in (0, 1] and [0, 1) for the same elements.
    #[doc(hidden)]
    fn polar(bits: &Blocks, pair: usize) -> [[f64; LANES]; 2];
    /// The nearest number.
    #[doc(hidden)]
    fn round(v: f64) -> Self;
    /// `low + unit · (high − low)`, kept below `high`.
    #[doc(hidden)]
    fn between(unit: Self, low: Self, high: Self) -> Self;
}

macro_rules! common {
    ($t:ident) => {
        const ZERO: $t = 0.0;
        #[inline(always)]
        fn round(v: f64) -> $t {
            v as $t
        }
        #[inline(always)]
        fn between(unit: $t, low: $t, high: $t) -> $t {
            let v = low + unit * (high - low);
            // Rounding may reach the end that the interval excludes.
            if v >= high && low < high { high.next_down() } else { v }
        }
    };
}

impl Real for f32 {
    common!(f32);
    const PER_BLOCK: usize = 4;
    #[inline(always)]
    fn units(bits: &Blocks, pair: usize) -> [[f32; LANES]; 2] {
        // 24 bits also fit i32, which has a conversion in every instruction set.
        const STEP: f32 = 1.0 / (1u32 << 24) as f32;
        let unit = |w: usize| std::array::from_fn(|l| (bits[w][l] >> 8) as i32 as f32 * STEP);
        [unit(2 * pair), unit(2 * pair + 1)]
    }
    #[inline(always)]
    fn polar(bits: &Blocks, pair: usize) -> [[f64; LANES]; 2] {
        const STEP: f64 = 1.0 / (1u64 << 32) as f64;
        let unit =
            |w: usize, add: f64| std::array::from_fn(|l| (f64::from(bits[w][l]) + add) * STEP);
        [unit(2 * pair, 1.0), unit(2 * pair + 1, 0.0)]
    }
}

impl Real for f64 {
    common!(f64);
    const PER_BLOCK: usize = 2;
    #[inline(always)]
    fn units(bits: &Blocks, _: usize) -> [[f64; LANES]; 2] {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        const HIGH: f64 = (1u32 << 21) as f64;
        let unit = |w: usize| {
            std::array::from_fn(|l| {
                (f64::from(bits[w + 1][l]) * HIGH + f64::from(bits[w][l] >> 11)) * STEP
            })
        };
        [unit(0), unit(2)]
    }
    #[inline(always)]
    fn polar(bits: &Blocks, pair: usize) -> [[f64; LANES]; 2] {
        let [u, v] = f64::units(bits, pair);
        [std::array::from_fn(|l| 1.0 - u[l]), v]
    }
}

/// A way to turn random bits into elements.
///
/// A trait and not a closure, because only a method can be told to be inlined always, and so to be
/// compiled for the instruction set of the loop around it.
trait Make {
    type Item: Copy;
    const PER_BLOCK: usize;
    fn make(&self, bits: &Blocks, out: &mut [Self::Item]);
}

/// The most elements that [`LANES`] blocks make.
const GROUP: usize = 4 * LANES;

/// Fills `out` with elements `start..` of a stream; `zero` is any element.
#[inline(always)]
fn fill<M: Make>(stream: Stream, start: u64, how: M, zero: M::Item, out: &mut [M::Item]) {
    let group = M::PER_BLOCK * LANES;
    let mut block = start / M::PER_BLOCK as u64;
    let mut skip = (start % M::PER_BLOCK as u64) as usize;
    let mut made = [zero; GROUP];
    let mut rest = out;
    while !rest.is_empty() {
        how.make(&stream.blocks(block, 0), &mut made[..group]);
        let (now, later) = rest.split_at_mut(rest.len().min(group - skip));
        now.copy_from_slice(&made[skip..skip + now.len()]);
        (rest, skip, block) = (later, 0, block.wrapping_add(LANES as u64));
    }
}

struct Uniform<T> {
    low: T,
    high: T,
}

impl<T: Real> Make for Uniform<T> {
    type Item = T;
    const PER_BLOCK: usize = T::PER_BLOCK;
    #[inline(always)]
    fn make(&self, bits: &Blocks, out: &mut [T]) {
        for pair in 0..T::PER_BLOCK / 2 {
            let [a, b] = T::units(bits, pair);
            for (l, out) in out.chunks_exact_mut(T::PER_BLOCK).enumerate() {
                out[2 * pair] = T::between(a[l], self.low, self.high);
                out[2 * pair + 1] = T::between(b[l], self.low, self.high);
            }
        }
    }
}

/// Writes elements `start..` of a stream of numbers uniform in `[low, high)`.
pub fn fill_uniform<T: Real>(stream: Stream, start: u64, low: T, high: T, out: &mut [T]) {
    #[inline(always)]
    fn uniform<T: Real>(stream: Stream, start: u64, low: T, high: T, out: &mut [T]) {
        fill(stream, start, Uniform { low, high }, T::ZERO, out);
    }
    with_avx2!(T: Real, uniform(stream: Stream, start: u64, low: T, high: T, out: &mut [T]))
}

struct Normal<T> {
    mean: f64,
    std: f64,
    item: std::marker::PhantomData<T>,
}

impl<T: Real> Make for Normal<T> {
    type Item = T;
    const PER_BLOCK: usize = T::PER_BLOCK;
    #[inline(always)]
    fn make(&self, bits: &Blocks, out: &mut [T]) {
        for pair in 0..T::PER_BLOCK / 2 {
            let [u, v] = T::polar(bits, pair);
            let (mut a, mut b) = ([T::ZERO; LANES], [T::ZERO; LANES]);
            for l in 0..LANES {
                let r = (-2.0 * ln(u[l])).sqrt() * self.std;
                let (sin, cos) = sin_cos_turn(v[l]);
                (a[l], b[l]) = (T::round(self.mean + r * cos), T::round(self.mean + r * sin));
            }
            for (l, out) in out.chunks_exact_mut(T::PER_BLOCK).enumerate() {
                (out[2 * pair], out[2 * pair + 1]) = (a[l], b[l]);
            }
        }
    }
}

/// Writes elements `start..` of a stream of normal numbers with the given mean and standard
/// deviation, by the method of Box and Muller (1958): √(−2 ln u) · (cos 2πv, sin 2πv).
pub fn fill_normal<T: Real>(stream: Stream, start: u64, mean: T, std: T, out: &mut [T]) {
    #[inline(always)]
    fn normal<T: Real>(stream: Stream, start: u64, mean: T, std: T, out: &mut [T]) {
        let (mean, std) = (mean.into(), std.into());
        fill(stream, start, Normal { mean, std, item: Default::default() }, T::ZERO, out);
    }
    with_avx2!(T: Real, normal(stream: Stream, start: u64, mean: T, std: T, out: &mut [T]))
}

/// The reciprocals of 1, 3, 5, …, of the series of ln.
const LN: [f64; 11] = {
    let (mut c, mut k) = ([0.0; 11], 0);
    while k < 11 {
        c[k] = 1.0 / (2 * k + 1) as f64;
        k += 1;
    }
    c
};

/// The natural logarithm of a normal positive number: with x = 2ᵉm and s = (m − 1) / (m + 1),
/// ln x = e ln 2 + 2 (s + s³/3 + s⁵/5 + …).
#[inline(always)]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let m = f64::from_bits(bits & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000);
    let large = m > std::f64::consts::SQRT_2;
    let m = if large { m * 0.5 } else { m };
    let e = f64::from((bits >> 52) as i32 - 1023 + i32::from(large));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let sum = LN.iter().rev().fold(0.0, |sum, c| sum * z + c);
    e * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// The coefficients of x, x³, … of sine and of 1, x², … of cosine.
const SIN_COS: [[f64; 9]; 2] = {
    let (mut c, mut k) = ([[1.0; 9]; 2], 1);
    while k < 9 {
        c[0][k] = -c[0][k - 1] / (2 * k * (2 * k + 1)) as f64;
        c[1][k] = -c[1][k - 1] / (2 * k * (2 * k - 1)) as f64;
        k += 1;
    }
    c
};

/// Sine and cosine of a fraction of a turn in [0, 1]: Taylor's series around the nearest quarter.
#[inline(always)]
fn sin_cos_turn(t: f64) -> (f64, f64) {
    // Adding this rounds to an integer, which the low bits then hold.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let rounded = 4.0 * t + ROUNDER;
    let quarter = rounded.to_bits();
    let x = (4.0 * t - (rounded - ROUNDER)) * std::f64::consts::FRAC_PI_2;
    let z = x * x;
    let series = |c: &[f64; 9]| c.iter().rev().fold(0.0, |sum, c| sum * z + c);
    let (sin, cos) = (series(&SIN_COS[0]) * x, series(&SIN_COS[1]));
    let (s, c) = if quarter & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let s = if quarter & 2 == 0 { s } else { -s };
    let c = if (quarter + 1) & 2 == 0 { c } else { -c };
    (s, c)
}

struct Words;

impl Make for Words {
    type Item = u32;
    const PER_BLOCK: usize = 4;
    #[inline(always)]
    fn make(&self, bits: &Blocks, out: &mut [u32]) {
        for (l, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *out = [bits[0][l], bits[1][l], bits[2][l], bits[3][l]];
        }
    }
}

/// Writes words `start..` of a stream: 32 random bits each.
pub fn fill_bits(stream: Stream, start: u64, out: &mut [u32]) {
    fill(stream, start, Words, 0, out);
}

struct Bernoulli<T> {
    /// Words below this are hits.
    hits: u32,
    hit: T,
    miss: T,
}

impl<T: Copy> Make for Bernoulli<T> {
    type Item = T;
    const PER_BLOCK: usize = 4;
    #[inline(always)]
    fn make(&self, bits: &Blocks, out: &mut [T]) {
        for (l, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let choose = |w: usize| if bits[w][l] < self.hits { self.hit } else { self.miss };
            *out = [choose(0), choose(1), choose(2), choose(3)];
        }
    }
}

/// Writes elements `start..` of a stream of choices: `hit` with probability `p`, to within 2⁻³³,
/// otherwise `miss`.
///
/// A dropout mask with rate p is `fill_bernoulli(stream, start, p, 0.0, 1.0 / (1.0 - p), mask)`.
pub fn fill_bernoulli<T: Copy>(stream: Stream, start: u64, p: f64, hit: T, miss: T, out: &mut [T]) {
    #[inline(always)]
    fn bernoulli<T: Copy>(stream: Stream, start: u64, how: Bernoulli<T>, out: &mut [T]) {
        let zero = how.miss;
        fill(stream, start, how, zero, out);
    }
    let hits = (p * (1u64 << 32) as f64).round() as u64;
    if let Ok(hits) = u32::try_from(hits) {
        let how = Bernoulli { hits, hit, miss };
        with_avx2!(T: Copy, bernoulli(stream: Stream, start: u64, how: Bernoulli<T>, out: &mut [T]))
    } else {
        out.fill(hit);
    }
}

/// Fills `out` with the numbers from 0 to its length in random order, all orders being equally
/// likely: the shuffle of Fisher and Yates, with the unbiased bounded integers of Lemire (2019).
///
/// # Panics
/// If the length exceeds i32::MAX.
pub fn permutation(stream: Stream, out: &mut [i32]) {
    assert!(i32::try_from(out.len()).is_ok(), "permutation of {} elements", out.len());
    let mut bits = stream.blocks(0, 0);
    for i in 0..out.len() {
        let lane = i % LANES;
        if lane == 0 {
            bits = stream.blocks(i as u64, 0);
        }
        let j = below(stream, i as u64, &bits, lane, i as u64 + 1) as usize;
        out[i] = i as i32;
        out.swap(i, j);
    }
}

/// A number below `n`, which is not 0, from a block that stands in a lane of `bits`.
#[inline(always)]
fn below(stream: Stream, block: u64, bits: &Blocks, lane: usize, n: u64) -> u64 {
    let draw = |low: u32, high: u32| {
        let product = u128::from(u64::from(high) << 32 | u64::from(low)) * u128::from(n);
        // The lowest 2⁶⁴ mod n of the lower halves would make some numbers more likely.
        let fair = (product as u64) >= n || (product as u64) >= n.wrapping_neg() % n;
        ((product >> 64) as u64, fair)
    };
    let (mut number, mut fair) = draw(bits[0][lane], bits[1][lane]);
    let mut version = 1u8;
    // A draw is unfair with probability below n / 2⁶⁴; 255 in a row do not happen.
    while !fair && version != 0 {
        let [low, high, ..] = stream.blocks::<1>(block, version);
        (number, fair) = draw(low[0], high[0]);
        version = version.wrapping_add(1);
    }
    number
}
