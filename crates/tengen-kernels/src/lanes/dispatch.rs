//! The choice of instruction set.

use super::{Lane, portable};
use std::sync::atomic::{AtomicU8, Ordering};

/// The lanes of one instruction set.
pub trait Arch: Copy + Send + Sync + 'static {
    /// Lane of f32.
    type F32: Lane<T = f32>;
    /// Lane of f64.
    type F64: Lane<T = f64>;
    /// Which one this is.
    const ISA: Isa;
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub struct Portable;
impl Arch for Portable {
    type F32 = portable::F32x1;
    type F64 = portable::F64x1;
    const ISA: Isa = Isa::Portable;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Avx2;
#[cfg(target_arch = "x86_64")]
impl Arch for Avx2 {
    type F32 = super::avx2::F32x8;
    type F64 = super::avx2::F64x4;
    const ISA: Isa = Isa::Avx2;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Avx512;
#[cfg(target_arch = "x86_64")]
impl Arch for Avx512 {
    type F32 = super::avx512::F32x16;
    type F64 = super::avx512::F64x8;
    const ISA: Isa = Isa::Avx512;
}

/// An instruction set that kernels are compiled for, from the slowest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// Whatever the compiler's target guarantees.
    Portable = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
}

/// Instructions that a machine may have beyond an instruction set; some kernels use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Sums of products of 8-bit integers: AVX-512 VNNI beside AVX-512, AVX-VNNI beside AVX2.
    Vnni,
    /// Sums of products of bf16: AVX-512 BF16 beside AVX-512.
    Bf16,
}

/// Code that is compiled once per instruction set.
pub trait Kernel {
    /// What it gives.
    type Output;
    /// The code. Implementations are `#[inline(always)]`, so that they take on the features of
    /// the function that [`dispatch`] calls them from.
    fn run<A: Arch>(self) -> Self::Output;
}

/// The instruction set in use (0: not yet chosen) and, as a bit, whether features are ignored.
static CURRENT: AtomicU8 = AtomicU8::new(0);
/// The bit of [`CURRENT`] that says that features are ignored.
const PLAIN: u8 = 1 << 7;

/// The instruction sets that this machine has, fastest last.
pub fn available() -> &'static [Isa] {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt")
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return &[Isa::Portable, Isa::Avx2, Isa::Avx512];
            }
            return &[Isa::Portable, Isa::Avx2];
        }
    }
    &[Isa::Portable]
}

/// The instruction set in use: the fastest available, or the one that the environment variable
/// `TENGEN_ISA` (`portable`, `avx2`, `avx512`) names, if the machine has it.
#[inline]
pub fn isa() -> Isa {
    match CURRENT.load(Ordering::Relaxed) & !PLAIN {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => choose(),
    }
}

#[cold]
fn choose() -> Isa {
    let all = available();
    let wanted = std::env::var("TENGEN_ISA")
        .ok()
        .and_then(|v| all.iter().copied().find(|i| format!("{i:?}").eq_ignore_ascii_case(&v)));
    let isa = wanted.unwrap_or(all[all.len() - 1]);
    CURRENT.store(isa as u8, Ordering::Relaxed);
    isa
}

/// Whether the machine has a feature that goes with the instruction set in use.
pub fn has(feature: Feature) -> bool {
    let isa = isa();
    if CURRENT.load(Ordering::Relaxed) & PLAIN != 0 {
        return false;
    }
    match (isa, feature) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Feature::Vnni) => is_x86_feature_detected!("avx512vnni"),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, Feature::Vnni) => is_x86_feature_detected!("avxvnni"),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Feature::Bf16) => is_x86_feature_detected!("avx512bf16"),
        _ => false,
    }
}

/// Runs `f` with every kernel of the process on `isa`, if the machine has it; for tests.
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> Option<R> {
    with(isa, 0, f)
}

/// As [`with_isa`], without any [`Feature`].
pub fn with_plain_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> Option<R> {
    with(isa, PLAIN, f)
}

fn with<R>(isa: Isa, plain: u8, f: impl FnOnce() -> R) -> Option<R> {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if !available().contains(&isa) {
        return None;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    struct Restore(u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.store(self.0, Ordering::Relaxed);
        }
    }
    let _restore = Restore(CURRENT.swap(isa as u8 | plain, Ordering::Relaxed));
    Some(f())
}

/// Runs a kernel on the instruction set in use.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    run(isa(), kernel)
}

/// Runs a kernel on one instruction set, or gives it back if the machine lacks that.
pub fn dispatch_on<K: Kernel>(isa: Isa, kernel: K) -> Result<K::Output, K> {
    if available().contains(&isa) { Ok(run(isa, kernel)) } else { Err(kernel) }
}

#[inline]
fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        Isa::Portable => kernel.run::<Portable>(),
        // SAFETY: `isa` is one of `available`, so the CPU has the features.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { run_avx2(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => kernel.run::<Portable>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,popcnt,lzcnt")]
unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,popcnt,lzcnt"
)]
unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}
