use super::*;

/// Small whole numbers with many ties, whose sums and products a test can follow exactly.
fn numbers(n: usize, seed: u64) -> Vec<i32> {
    let mut s = seed;
    let next = || {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (s >> 33) as i32 % 7 - 3
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// Runs `K` and compares every result with `fold` over the elements that it is of, each with its
/// position, in their order.
fn agrees<K: Kind<i32>>(fold: impl Fn(&[(i32, i32)]) -> (i32, K::At))
where
    K::At: Default + PartialEq + std::fmt::Debug,
{
    for (outer, axis, inner) in [(2, 5, 3), (1, 100, 1), (3, 2, 70), (2, 1, 64), (2, 0, 4)] {
        let n = outer * axis * inner;
        let src = numbers(n, 1);
        for reverse in [false, true] {
            let (mut dst, mut at) = (vec![0; n], vec![K::At::default(); n]);
            scan::<i32, K>(&src, axis, inner, reverse, &mut dst, &mut at);
            for place in 0..n {
                let (o, k, i) = (place / (axis * inner), place / inner % axis, place % inner);
                let element = |k| (src[(o * axis + k) * inner + i], k as i32);
                let elements: Vec<_> = match reverse {
                    false => (0..=k).map(element).collect(),
                    true => (k..axis).rev().map(element).collect(),
                };
                let got = (dst[place], at[place]);
                assert_eq!(got, fold(&elements), "{:?} {reverse} {place}", (outer, axis, inner));
            }
        }
    }
}

#[test]
fn every_kind_is_its_fold() {
    agrees::<Sum>(|x| (x.iter().map(|e| e.0).fold(0, i32::wrapping_add), ()));
    agrees::<Prod>(|x| (x.iter().map(|e| e.0).fold(1, i32::wrapping_mul), ()));
    agrees::<Max>(|x| x.iter().copied().reduce(|a, b| if b.0 >= a.0 { b } else { a }).unwrap());
    agrees::<Min>(|x| x.iter().copied().reduce(|a, b| if b.0 <= a.0 { b } else { a }).unwrap());
}

#[test]
fn integers_wrap() {
    let mut out = [0i8; 3];
    scan::<i8, Sum>(&[100, 100, 1], 3, 1, false, &mut out, &mut [(); 3]);
    assert_eq!(out, [100, -56, -55]);
    scan::<i8, Prod>(&[100, 3, 1], 3, 1, false, &mut out, &mut [(); 3]);
    assert_eq!(out, [100, 44, 44]);
}

#[test]
fn sums_and_products_of_halves_are_kept_in_f32() {
    let ones = vec![f16::ONE; 3000];
    let mut out = ones.clone();
    scan::<f16, Sum>(&ones, 3000, 1, false, &mut out, &mut [(); 3000]);
    assert_eq!(out[2999].to_f32(), 3000.0);
    let x = [300.0, 300.0, 1e-3].map(bf16::from_f32);
    let x = x.map(|v| f16::from_f32(v.to_f32()));
    let mut out = x;
    scan::<f16, Prod>(&x, 3, 1, false, &mut out, &mut [(); 3]);
    assert!(out[1].is_infinite() && (out[2].to_f32() - 90.0).abs() < 0.5);
}

#[test]
fn extrema_keep_nan() {
    let x = [1.0, f32::NAN, 3.0, f32::NAN, f32::INFINITY];
    for inner in [1, 2] {
        let src: Vec<f32> = x.iter().flat_map(|v| vec![*v; inner]).collect();
        type Scan = fn(&[f32], usize, usize, bool, &mut [f32], &mut [i32]);
        let run = |f: Scan| {
            let (mut dst, mut at) = (src.clone(), vec![0; src.len()]);
            f(&src, 5, inner, false, &mut dst, &mut at);
            (dst, at)
        };
        for (dst, at) in [run(scan::<f32, Max>), run(scan::<f32, Min>)] {
            assert!(dst[..inner].iter().all(|v| *v == 1.0));
            assert!(dst[inner..].iter().all(|v| v.is_nan()));
            let want = [0, 1, 1, 3, 3].iter().flat_map(|v| vec![*v; inner]);
            assert_eq!(at, want.collect::<Vec<i32>>());
        }
    }
}
