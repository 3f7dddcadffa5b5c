//! Elementwise loops: one formula over every element of contiguous runs.

mod half;
mod select;
#[cfg(test)]
mod tests;

pub use half::{narrow, widen};
pub use select::{Bits, select};

use crate::lanes::{Arch, Float, Kernel, Lane, Num, Operand, dispatch, fence};

/// The registers in which elements of `T` are computed with.
type Wide<T, A> = <<T as Operand>::Wide as Float>::Lane<A>;

/// An elementwise formula of `N` arguments and its derivative, each written once.
pub trait Map<const N: usize>: Copy + Send + Sync + 'static {
    /// The value at `x`.
    fn f<L: Num>(&self, x: [L; N]) -> L;
    /// The gradients to the arguments at `x`, given the gradient `dy` to the value.
    fn df<L: Num>(&self, x: [L; N], dy: L) -> [L; N];
}

/// An elementwise test of `N` arguments.
pub trait Predicate<const N: usize>: Copy + Send + Sync + 'static {
    /// Whether it holds at `x`.
    fn test<L: Num>(&self, x: [L; N]) -> L::Mask;
}

/// Where a loop reads: a run of elements, or one element for the whole run.
#[derive(Clone, Copy)]
pub struct Src<T> {
    /// The first element.
    pub ptr: *const T,
    /// Whether there is only that one.
    pub single: bool,
}

/// Where the backward loop leaves a gradient.
#[derive(Clone, Copy)]
pub enum Dst<T> {
    /// Nowhere: it is not asked for.
    Skip,
    /// One element per element.
    Store(*mut T),
    /// The run's sum, added to one number.
    Sum(*mut f64),
}

/// Sources made ready for the loop: single elements are spread over a register's width and read
/// again and again, by masking their offset to 0.
struct Ready<T, const N: usize> {
    spread: [[T; 16]; N],
    src: [Src<T>; N],
}

impl<T: Operand, const N: usize> Ready<T, N> {
    /// # Safety
    /// Single sources are readable.
    #[inline(always)]
    unsafe fn new(src: [Src<T>; N]) -> Self {
        let mut spread = [[T::default(); 16]; N];
        for k in 0..N {
            if src[k].single {
                // SAFETY: readable by the caller's contract.
                spread[k] = [unsafe { *src[k].ptr }; 16];
            }
        }
        Self { spread, src }
    }

    #[inline(always)]
    fn runs(&self) -> ([*const T; N], [usize; N]) {
        (
            std::array::from_fn(|k| {
                if self.src[k].single { self.spread[k].as_ptr() } else { self.src[k].ptr }
            }),
            std::array::from_fn(|k| if self.src[k].single { 0 } else { usize::MAX }),
        )
    }
}

/// `n` elements of each source from position `i`, by [`Ready::runs`].
///
/// # Safety
/// They are readable, and no more than a register has.
#[inline(always)]
unsafe fn load<T: Operand, A: Arch, const N: usize>(
    p: [*const T; N],
    m: [usize; N],
    i: usize,
    n: usize,
) -> [Wide<T, A>; N] {
    let mut x = [Wide::<T, A>::splat(Default::default()); N];
    for k in 0..N {
        // SAFETY: by the contract.
        x[k] = unsafe { T::load(p[k].add(i & m[k]), n) };
    }
    x
}

/// Whether registers can be stored past the caches from `p` on.
fn streams<T>(p: *mut T) -> bool {
    p.addr().is_multiple_of(64)
}

/// Stores a whole register, `past` the caches or not.
///
/// # Safety
/// As [`Operand::store`]; for `past` also as [`Operand::stream`].
#[inline(always)]
unsafe fn put<T: Operand, L: Lane<T = T::Wide>>(x: L, p: *mut T, past: bool) {
    // SAFETY: by the contract.
    unsafe { if past { T::stream(x, p) } else { T::store(x, p, L::W) } }
}

struct Forward<'a, T, M, const N: usize> {
    map: &'a M,
    xs: [Src<T>; N],
    y: *mut T,
    n: usize,
    past: bool,
}

impl<T: Operand, M: Map<N>, const N: usize> Kernel for Forward<'_, T, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { map, xs, y, n, past } = self;
        let w = Wide::<T, A>::W;
        let past = past && streams(y);
        // SAFETY: `forward`'s contract: `y` and runs have `n` elements, which no access reaches; the
        // spread copy of a single source is read from its start. A `y` that is a source is read
        // before it is written, and registers past the caches go to multiples of their size.
        unsafe {
            let ready = Ready::new(xs);
            let (p, m) = ready.runs();
            let mut i = 0;
            while i + 2 * w <= n {
                let (a, b) =
                    (map.f(load::<T, A, N>(p, m, i, w)), map.f(load::<T, A, N>(p, m, i + w, w)));
                put(a, y.add(i), past);
                put(b, y.add(i + w), past);
                i += 2 * w;
            }
            while i < n {
                let r = (n - i).min(w);
                let x = load::<T, A, N>(p, m, i, r);
                T::store(map.f::<Wide<T, A>>(x), y.add(i), r);
                i += w;
            }
        }
        if past {
            fence();
        }
    }
}

/// `y[i] = f(x₀[i], …)` for i < n; `y` goes `past` the caches where the machine can.
///
/// # Safety
/// Each source is readable for `n` elements (one, if single) and `y` writable for `n`. `y` may be
/// the same run as a source, but not overlap one otherwise.
#[inline]
pub unsafe fn forward<T: Operand, M: Map<N>, const N: usize>(
    map: &M,
    xs: [Src<T>; N],
    y: *mut T,
    n: usize,
    past: bool,
) {
    dispatch(Forward { map, xs, y, n, past });
}

struct Backward<'a, T, M, const N: usize> {
    map: &'a M,
    xs: [Src<T>; N],
    dy: Src<T>,
    dx: [Dst<T>; N],
    n: usize,
    past: bool,
}

impl<T: Operand, M: Map<N>, const N: usize> Kernel for Backward<'_, T, M, N> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { map, xs, dy, dx, n, past } = self;
        let w = Wide::<T, A>::W;
        let past = past && dx.iter().all(|d| !matches!(d, Dst::Store(p) if !streams(*p)));
        let zero = Wide::<T, A>::splat(Default::default());
        let mut sums = [zero; N];
        let mut sums2 = [zero; N];
        // SAFETY: `backward`'s contract, used as in `Forward`: no access reaches `n`.
        unsafe {
            let ready = Ready::new(xs);
            let (p, m) = ready.runs();
            let ready_dy = Ready::new([dy]);
            let ([q], [mq]) = ready_dy.runs();
            let mut i = 0;
            while i + 2 * w <= n {
                let a = map.df(load::<T, A, N>(p, m, i, w), T::load(q.add(i & mq), w));
                let b = map.df(load::<T, A, N>(p, m, i + w, w), T::load(q.add((i + w) & mq), w));
                for k in 0..N {
                    match dx[k] {
                        Dst::Skip => {}
                        Dst::Store(d) => {
                            put(a[k], d.add(i), past);
                            put(b[k], d.add(i + w), past);
                        }
                        Dst::Sum(_) => {
                            sums[k] = Lane::add(sums[k], a[k]);
                            sums2[k] = Lane::add(sums2[k], b[k]);
                        }
                    }
                }
                i += 2 * w;
            }
            while i < n {
                let r = (n - i).min(w);
                let x = load::<T, A, N>(p, m, i, r);
                let d = map.df::<Wide<T, A>>(x, T::load(q.add(i & mq), r));
                for k in 0..N {
                    match dx[k] {
                        Dst::Skip => {}
                        Dst::Store(p) => T::store(d[k], p.add(i), r),
                        Dst::Sum(_) => sums[k] = Lane::add(sums[k], d[k].keep(r, zero)),
                    }
                }
                i += w;
            }
            for k in 0..N {
                if let Dst::Sum(s) = dx[k] {
                    *s += Lane::add(sums[k], sums2[k]).sum().to_f64();
                }
            }
        }
        if past {
            fence();
        }
    }
}

/// `dxₖ[i] = ∂f/∂xₖ(x[i])·dy[i]` for i < n, stored (`past` the caches where the machine can) or
/// summed as each destination says.
///
/// # Safety
/// As [`forward`]; destinations are writable for `n` elements (sums: one) and overlap nothing.
#[inline]
pub unsafe fn backward<T: Operand, M: Map<N>, const N: usize>(
    map: &M,
    xs: [Src<T>; N],
    dy: Src<T>,
    dx: [Dst<T>; N],
    n: usize,
    past: bool,
) {
    dispatch(Backward { map, xs, dy, dx, n, past });
}

struct Test<'a, T, P, const N: usize> {
    predicate: &'a P,
    xs: [Src<T>; N],
    y: *mut u8,
    n: usize,
}

impl<T: Operand, P: Predicate<N>, const N: usize> Kernel for Test<'_, T, P, N> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { predicate, xs, y, n } = self;
        let w = Wide::<T, A>::W;
        // SAFETY: `test`'s contract, used as in `Forward`: no access reaches `n`.
        unsafe {
            let ready = Ready::new(xs);
            let (p, m) = ready.runs();
            let mut i = 0;
            while i + w <= n {
                let x = load::<T, A, N>(p, m, i, w);
                Wide::<T, A>::store_mask(predicate.test::<Wide<T, A>>(x), y.add(i), w);
                i += w;
            }
            while i < n {
                let r = (n - i).min(w);
                let x = load::<T, A, N>(p, m, i, r);
                Wide::<T, A>::store_mask(predicate.test::<Wide<T, A>>(x), y.add(i), r);
                i += w;
            }
        }
    }
}

/// `y[i] = 1` where the predicate holds at `x[i]`, else 0.
///
/// # Safety
/// Sources as in [`forward`]; `y` is writable for `n` bytes and overlaps no source.
#[inline]
pub unsafe fn test<T: Operand, P: Predicate<N>, const N: usize>(
    predicate: &P,
    xs: [Src<T>; N],
    y: *mut u8,
    n: usize,
) {
    dispatch(Test { predicate, xs, y, n });
}

struct ScalarLoop<I, O, F, const N: usize> {
    f: F,
    xs: [Src<I>; N],
    y: *mut O,
    n: usize,
}

/// Elements per block of the scalar loop; its operands fit in the first-level cache.
const BLOCK: usize = 256;

impl<I: Copy + Default, O: Copy + Default, F: Fn([I; N]) -> O, const N: usize> Kernel
    for ScalarLoop<I, O, F, N>
{
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { f, xs, y, n } = self;
        let mut blocks = [[I::default(); BLOCK]; N];
        let mut out = [O::default(); BLOCK];
        let mut i = 0;
        while i < n {
            let r = (n - i).min(BLOCK);
            for k in 0..N {
                // SAFETY: `scalar`'s contract: element i..i+r of a run, or the single one, is
                // readable, and r ≤ BLOCK.
                unsafe {
                    if !xs[k].single {
                        xs[k].ptr.add(i).copy_to_nonoverlapping(blocks[k].as_mut_ptr(), r);
                    } else if i == 0 {
                        blocks[k] = [*xs[k].ptr; BLOCK];
                    }
                }
            }
            for (j, o) in out.iter_mut().enumerate() {
                *o = f(std::array::from_fn(|k| blocks[k][j]));
            }
            // SAFETY: `y` is writable for `n` elements by the contract, and i + r ≤ n.
            unsafe { y.add(i).copy_from_nonoverlapping(out.as_ptr(), r) };
            i += r;
        }
    }
}

/// `y[i] = f(x₀[i], …)` for i < n, over plain elements (integers, bools): the compiler vectorises.
///
/// # Safety
/// As [`forward`].
#[inline]
pub unsafe fn scalar<I, O, const N: usize>(
    f: impl Fn([I; N]) -> O,
    xs: [Src<I>; N],
    y: *mut O,
    n: usize,
) where
    I: Copy + Default,
    O: Copy + Default,
{
    dispatch(ScalarLoop { f, xs, y, n });
}
