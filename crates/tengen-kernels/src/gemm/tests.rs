use super::*;
use crate::lanes::{available, with_isa};
use crate::testing::values;

fn run<T: Float>(m: usize, n: usize, k: usize, ta: bool, tb: bool, acc: bool) -> f64 {
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let to = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
    let (x, y) = (to(&a), to(&b));
    let sa = if ta { (1, m as isize) } else { (k as isize, 1) };
    let sb = if tb { (k as isize, 1) } else { (1, n as isize) };
    let mut packed = vec![T::default(); packed_len::<T>(m, k)];
    let mut work = vec![T::default(); workspace_len::<T>(n, k)];
    let mut c = vec![T::from_f64(0.25); m * n];
    let a_src = Strided { ptr: x.as_ptr(), outer: sa.0, inner: sa.1 };
    let b_src = Strided { ptr: y.as_ptr(), outer: sb.0, inner: sb.1 };
    // SAFETY: the vectors have the lengths that the functions ask for.
    unsafe {
        pack_a(m, k, &a_src, packed.as_mut_ptr());
        multiply((m, n, k), packed.as_ptr(), &b_src, c.as_mut_ptr(), n, acc, work.as_mut_ptr());
    }
    let mut worst: f64 = 0.0;
    for i in 0..m {
        for j in 0..n {
            let at = |v: &[f64], o: usize, k: usize, s: (isize, isize)| {
                T::from_f64(v[o * s.0 as usize + k * s.1 as usize]).to_f64()
            };
            let dot: f64 = (0..k).map(|p| at(&a, i, p, sa) * at(&b, j, p, sb)).sum();
            let want = dot + if acc { 0.25 } else { 0.0 };
            worst = worst.max((c[i * n + j].to_f64() - want).abs());
        }
    }
    worst
}

#[test]
fn agrees_with_the_definition_on_every_instruction_set() {
    for set in available() {
        with_isa(*set, || {
            for (m, n, k) in [
                (1, 1, 1),
                (3, 5, 7),
                (14, 32, 256),
                (15, 33, 257),
                (64, 10, 2100),
                (100, 129, 31),
                (2, 4100, 3),
                (16, 2100, 1030),
                (5, 7, 0),
            ] {
                for bits in 0..8 {
                    let (ta, tb, acc) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                    let e = run::<f32>(m, n, k, ta, tb, acc);
                    assert!(e < 1e-5, "{set:?} f32 {m}×{n}×{k} {bits}: {e}");
                    let e = run::<f64>(m, n, k, ta, tb, acc);
                    assert!(e < 1e-13, "{set:?} f64 {m}×{n}×{k} {bits}: {e}");
                }
            }
        });
    }
}

#[test]
fn products_are_those_of_packed_operands_whatever_the_threads() {
    for set in available() {
        with_isa(*set, || {
            for (m, n, k) in [(700, 70, 1100), (90, 2100, 40), (7, 9, 3), (3, 2, 0)] {
                let to = |v: Vec<f64>| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
                let (x, y) = (to(values(m * k, 1)), to(values(k * n, 2)));
                let a = Strided { ptr: x.as_ptr(), outer: k as isize, inner: 1 };
                let b = Strided { ptr: y.as_ptr(), outer: 1, inner: n as isize };
                let mut packed = vec![f32::NAN; packed_len::<f32>(m, k)];
                let mut work = vec![f32::NAN; workspace_len::<f32>(n, k)];
                let mut want = vec![f32::NAN; m * n];
                // SAFETY: the vectors have the lengths that the functions ask for.
                unsafe {
                    pack_a(m, k, &a, packed.as_mut_ptr());
                    let (c, work) = (want.as_mut_ptr(), work.as_mut_ptr());
                    multiply((m, n, k), packed.as_ptr(), &b, c, n, false, work);
                }
                for threads in [1, 2, 5] {
                    let c = pool::with_threads(threads, || {
                        let product = <f32 as Element<f32>>::product(m, n, k);
                        let mut work = vec![f32::NAN; product.workspace_len()];
                        let mut c = vec![f32::NAN; m * n];
                        // SAFETY: as above.
                        unsafe { f32::multiply(product, a, b, c.as_mut_ptr(), work.as_mut_ptr()) };
                        c
                    });
                    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert!(bits(&c) == bits(&want), "{set:?} {m}×{n}×{k}, {threads} threads");
                }
            }
        });
    }
}
