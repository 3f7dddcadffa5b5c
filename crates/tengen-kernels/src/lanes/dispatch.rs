//! The choice of instruction set.

use super::{Lane, portable};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// The instruction set of the process (0: not yet chosen) and, from [`FORCED_HERE`] on, how many
/// threads run with one of their own.
static CURRENT: AtomicU32 = AtomicU32::new(0);
/// One thread with an instruction set of its own.
const FORCED_HERE: u32 = 1 << 8;

/// An instruction set that a thread is to use, and whether without any [`Feature`].
pub(crate) type Forced = Option<(Isa, bool)>;
thread_local!(static FORCED: Cell<Forced> = const { Cell::new(None) });

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
    match CURRENT.load(Ordering::Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => find(),
    }
}

#[cold]
fn find() -> Isa {
    if let Some((isa, _)) = FORCED.get() {
        return isa;
    }
    let all = available();
    let chosen = CURRENT.load(Ordering::Relaxed) % FORCED_HERE;
    if let Some(isa) = all.iter().find(|i| **i as u32 == chosen) {
        return *isa;
    }
    let wanted = std::env::var("TENGEN_ISA")
        .ok()
        .and_then(|v| all.iter().copied().find(|i| format!("{i:?}").eq_ignore_ascii_case(&v)));
    let isa = wanted.unwrap_or(all[all.len() - 1]);
    // Threads that choose at once choose the same.
    CURRENT.fetch_or(isa as u32, Ordering::Relaxed);
    isa
}

/// Whether the machine has a feature that goes with the instruction set in use.
pub fn has(feature: Feature) -> bool {
    if matches!(forced(), Some((_, true))) {
        return false;
    }
    match (isa(), feature) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Feature::Vnni) => is_x86_feature_detected!("avx512vnni"),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, Feature::Vnni) => is_x86_feature_detected!("avxvnni"),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, Feature::Bf16) => is_x86_feature_detected!("avx512bf16"),
        _ => false,
    }
}

/// Runs `f` with every kernel that it calls on `isa`, if the machine has it; for tests.
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> Option<R> {
    available().contains(&isa).then(|| with_forced(Some((isa, false)), f))
}

/// As [`with_isa`], without any [`Feature`].
pub fn with_plain_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> Option<R> {
    available().contains(&isa).then(|| with_forced(Some((isa, true)), f))
}

/// What this thread is forced to, for threads that help it.
#[inline]
pub(crate) fn forced() -> Forced {
    if CURRENT.load(Ordering::Relaxed) < FORCED_HERE { None } else { FORCED.get() }
}

/// Runs `f` with what another thread is [`forced`] to.
#[inline]
pub(crate) fn with_forced<R>(to: Forced, f: impl FnOnce() -> R) -> R {
    struct Restore(Forced);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
            CURRENT.fetch_sub(FORCED_HERE, Ordering::Relaxed);
        }
    }
    if to.is_none() {
        return f();
    }
    CURRENT.fetch_add(FORCED_HERE, Ordering::Relaxed);
    let _restore = Restore(FORCED.replace(to));
    f()
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
