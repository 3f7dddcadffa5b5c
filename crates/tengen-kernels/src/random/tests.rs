use super::*;

const STREAM: Stream = Stream { seed: 0x0123_4567_89AB_CDEF, number: 5 };

#[test]
fn philox_gives_the_published_blocks() {
    // The known answers that accompany the paper's implementation.
    let cases = [
        ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([!0; 2], [!0; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0xa409_3822, 0x299f_31d0],
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (key, counter, expected) in cases {
        let out = philox(key, counter.map(|v| [v; LANES]));
        for lane in 0..LANES {
            assert_eq!(out.map(|word| word[lane]), expected);
        }
    }
}

#[test]
fn any_part_can_be_generated_alone() {
    fn check<T: Copy + PartialEq + std::fmt::Debug>(zero: T, f: impl Fn(u64, &mut [T])) {
        let mut whole = vec![zero; 1000];
        f(3, &mut whole);
        for (from, to) in [(0, 1), (1, 2), (5, 5), (7, 300), (64, 1000), (997, 1000), (333, 500)] {
            let mut part = vec![zero; to - from];
            f(3 + from as u64, &mut part);
            assert_eq!(part, whole[from..to]);
        }
    }
    check(0.0, |start, out: &mut [f32]| fill_uniform(STREAM, start, -1.0, 2.0, out));
    check(0.0, |start, out: &mut [f64]| fill_uniform(STREAM, start, -1.0, 2.0, out));
    check(0.0, |start, out: &mut [f32]| fill_normal(STREAM, start, 1.0, 2.0, out));
    check(0.0, |start, out: &mut [f64]| fill_normal(STREAM, start, 1.0, 2.0, out));
    check(0, |start, out: &mut [u32]| fill_bits(STREAM, start, out));
    check(0, |start, out: &mut [u8]| fill_bernoulli(STREAM, start, 0.3, 1, 0, out));
}

#[test]
fn streams_differ() {
    let draw = |stream| {
        let mut out = [0; 8];
        fill_bits(stream, 0, &mut out);
        out
    };
    let streams = [
        STREAM,
        Stream { seed: STREAM.seed ^ 1 << 63, ..STREAM },
        Stream { number: 6, ..STREAM },
        Stream { number: 5 | 1 << 50, ..STREAM },
    ];
    for (i, a) in streams.iter().enumerate() {
        assert!(streams[..i].iter().all(|b| draw(*a) != draw(*b)));
    }
}

fn moments(values: impl Iterator<Item = f64> + Clone) -> [f64; 4] {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let central = |k| values.clone().map(|v| (v - mean).powi(k)).sum::<f64>() / n;
    [mean, central(2), central(3), central(4)]
}

#[test]
fn distributions_have_their_moments() {
    const N: usize = 1 << 18;
    let close = |a: [f64; 4], b: [f64; 4]| {
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.05), "{a:?} {b:?}");
    };
    let mut narrow = vec![0f32; N];
    fill_uniform(STREAM, 0, 0.0, 1.0, &mut narrow);
    assert!(narrow.iter().all(|v| (0.0..1.0).contains(v)));
    close(moments(narrow.iter().map(|&v| v.into())), [0.5, 1.0 / 12.0, 0.0, 1.0 / 80.0]);
    fill_normal(STREAM, 0, 0.0, 1.0, &mut narrow);
    close(moments(narrow.iter().map(|&v| v.into())), [0.0, 1.0, 0.0, 3.0]);
    assert!(narrow.iter().any(|v| v.abs() > 4.0));
    let mut wide = vec![0f64; N];
    fill_uniform(STREAM, 0, 2.0, 3.0, &mut wide);
    assert!(wide.iter().all(|v| (2.0..3.0).contains(v)));
    close(moments(wide.iter().copied()), [2.5, 1.0 / 12.0, 0.0, 1.0 / 80.0]);
    fill_normal(STREAM, 0, 0.0, 1.0, &mut wide);
    close(moments(wide.iter().copied()), [0.0, 1.0, 0.0, 3.0]);
    let mut hits = vec![0f32; N];
    fill_bernoulli(STREAM, 0, 0.25, 1.0, 0.0, &mut hits);
    assert!((hits.iter().sum::<f32>() / N as f32 - 0.25).abs() < 0.01);
    for (p, expected) in [(0.0, 0.0), (-1.0, 0.0), (f64::NAN, 0.0), (1.0, 1.0), (7.0, 1.0)] {
        fill_bernoulli(STREAM, 0, p, 1.0, 0.0, &mut hits);
        assert!(hits.iter().all(|&v| v == expected), "{p}");
    }
}

#[test]
fn uniform_numbers_stay_below_the_upper_end() {
    let (low, high) = (1.0f32, 1.0f32.next_up());
    let mut out = [0.0; 999];
    fill_uniform(STREAM, 0, low, high, &mut out);
    assert!(out.iter().all(|&v| v == low));
    fill_uniform(STREAM, 0, 3.0, 3.0, &mut out);
    assert!(out.iter().all(|&v| v == 3.0));
}

#[test]
fn elementary_functions_are_accurate() {
    for i in 1..=100_000 {
        let x = i as f64 / 100_000.0;
        assert!((ln(x) - x.ln()).abs() <= 8e-16 * x.ln().abs().max(1e-3), "{x}");
        let (sin, cos) = sin_cos_turn(x);
        let (s, c) = (x * std::f64::consts::TAU).sin_cos();
        assert!((sin - s).abs() < 2e-15 && (cos - c).abs() < 2e-15, "{x}");
    }
    assert!((ln(f64::EPSILON / 2.0) + 53.0 * std::f64::consts::LN_2).abs() < 1e-14);
    assert_eq!(sin_cos_turn(0.0), (0.0, 1.0));
    assert_eq!(sin_cos_turn(0.25), (1.0, 0.0));
}

#[test]
fn permutations_are_unbiased() {
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..24_000 {
        let mut out = [0; 4];
        permutation(Stream { number, ..STREAM }, &mut out);
        *counts.entry(out).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|&c| (850..1150).contains(&c)), "{counts:?}");
    let mut out = vec![0; 1000];
    permutation(STREAM, &mut out);
    out.sort_unstable();
    assert!(out.iter().copied().eq(0..1000));
}

#[test]
fn unfair_draws_are_repeated() {
    // For n = 2⁶³ + 1 nearly half of all draws are unfair.
    let n = (1 << 63) + 1;
    for block in 0..200 {
        let bits = STREAM.blocks(block, 0);
        assert!(below(STREAM, block, &bits, 0, n) < n);
    }
    let zeros = [[0; LANES]; 4];
    let again = STREAM.blocks(9, 1);
    let expected = below(STREAM, 9, &again, 0, 3);
    assert_eq!(below(STREAM, 9, &zeros, 0, 3), expected);
}
