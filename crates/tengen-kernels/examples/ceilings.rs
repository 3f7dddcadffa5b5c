//! What this machine can do at most. For each line of the input, `fma`, `read` or `copy`, one line
//! with a number: f32 multiply-adds on the widest lanes (GFLOP/s, two operations each), or reading or
//! copying memory far larger than the caches (GB/s; a copy counts the bytes read and written). Uses as
//! many threads as the pool does.

use std::hint::black_box;
use std::io::{Write, stdin, stdout};
use std::time::Instant;
use tengen_kernels::lanes::{Arch, Kernel, Lane, dispatch};
use tengen_kernels::pool;

/// Independent accumulators: enough to hide the latency of a multiply-add on two ports.
const ACCUMULATORS: usize = 24;
const STEPS: usize = 100_000;
/// Bytes of each memory buffer.
const BUFFER: usize = 256 << 20;
const ROUNDS: usize = 3;

/// Multiply-adds that depend only on their own accumulator; gives the number of operations.
struct MultiplyAdds;

impl Kernel for MultiplyAdds {
    type Output = f64;
    #[inline(always)]
    fn run<A: Arch>(self) -> f64 {
        type F<A> = <A as Arch>::F32;
        let factor = F::<A>::splat(black_box(0.999));
        let addend = F::<A>::splat(black_box(0.001));
        let mut sums = [F::<A>::splat(black_box(0.5)); ACCUMULATORS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.fma(factor, addend);
            }
        }
        for sum in sums {
            black_box(sum.sum());
        }
        (2 * ACCUMULATORS * STEPS * F::<A>::W) as f64
    }
}

/// Sums a buffer, in eight independent streams of lanes.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<A: Arch>(self) -> f32 {
        let w = A::F32::W;
        let mut sums = [A::F32::splat(0.0); 8];
        for block in self.0.chunks_exact(8 * w) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the block holds 8 lanes, and `i` is below 8.
                *sum = sum.add(unsafe { A::F32::load(block.as_ptr().add(i * w)) });
            }
        }
        sums.into_iter().map(|s| s.sum()).sum()
    }
}

/// Seconds of the fastest of several rounds of `work` on every thread.
fn fastest(mut work: impl FnMut()) -> f64 {
    work();
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// GFLOP/s of multiply-adds.
fn fma(threads: usize) -> f64 {
    let operations = dispatch(MultiplyAdds) * (threads * 8) as f64;
    operations / fastest(|| pool::for_each(threads * 8, |_| _ = dispatch(MultiplyAdds))) / 1e9
}

/// GB/s of reading `from`.
fn read(threads: usize, from: &[f32]) -> f64 {
    let (n, bytes) = (from.len(), size_of_val(from) as f64);
    let seconds = fastest(|| {
        pool::for_ranges(n, n.div_ceil(threads), |a, b| {
            black_box(dispatch(Read(&from[a..b])));
        });
    });
    bytes / seconds / 1e9
}

/// GB/s of copying `from` to `to`, of the same length.
fn copy(threads: usize, from: &[f32], to: &mut [f32]) -> f64 {
    assert_eq!(from.len(), to.len(), "as many elements on both sides");
    let (n, bytes) = (from.len(), 2.0 * size_of_val(from) as f64);
    let target = Target(to.as_mut_ptr());
    let seconds = fastest(|| {
        pool::for_ranges(n, n.div_ceil(threads), |a, b| {
            // SAFETY: the ranges of the tasks do not overlap and end at `n`, the length of both.
            unsafe { target.write(a, &from[a..b]) };
        });
    });
    black_box(to);
    bytes / seconds / 1e9
}

fn main() -> std::io::Result<()> {
    let threads = pool::threads();
    let n = BUFFER / size_of::<f32>();
    let from: Vec<f32> = (0..n).map(|i| (i % 251) as f32 * 0.37 - 40.0).collect();
    let mut to = vec![1.0f32; n];
    for line in stdin().lines() {
        let speed = match line?.as_str() {
            "fma" => fma(threads),
            "read" => read(threads, &from),
            "copy" => copy(threads, &from, &mut to),
            other => {
                let text = format!("there is no ceiling {other:?}");
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
            }
        };
        println!("{speed:.2}");
        stdout().flush()?;
    }
    Ok(())
}

/// A buffer that several threads write separate parts of.
struct Target(*mut f32);

// SAFETY: each thread writes a part of its own; see `write`.
unsafe impl Sync for Target {}

impl Target {
    /// Copies `values` to `start`.
    ///
    /// # Safety
    /// The buffer has `start + values.len()` elements, and no one else uses that part.
    unsafe fn write(&self, start: usize, values: &[f32]) {
        // SAFETY: as promised by the caller; the source is another buffer.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(start), values.len());
        }
    }
}
