//! Numbers for tests.

/// Numbers in [−½, ½), the same for the same seed.
pub(crate) fn values(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed | 1;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 40) as f64 / (1 << 24) as f64 - 0.5
        })
        .collect()
}
