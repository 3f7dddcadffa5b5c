//! The thread pool: the caller takes its share of the work, helpers spin briefly and then park.
//!
//! Work is a number of tasks that any thread may take in any order, so results never depend on the
//! number of threads as long as each task writes its own output. A call from inside a task, or
//! while another thread uses the pool, runs on the caller alone.

use crate::lanes::{Forced, forced, with_forced};
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread::Thread;

/// Turns around the loop before a helper parks; about 50 µs.
const SPINS: u32 = 2_000;
const CLOSED: u64 = 1 << 31;
const JOINED: u64 = CLOSED - 1;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// What the helpers are to do now.
#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    tasks: usize,
    helpers: u64,
    /// The instruction set that the caller is forced to.
    isa: Forced,
}

struct Helper {
    thread: Thread,
    parked: AtomicBool,
}

struct Pool {
    /// Epoch (high half), closed flag, and how many helpers joined the epoch.
    state: AtomicU64,
    /// The next task to take.
    next: AtomicUsize,
    /// How many of the joined helpers are through.
    finished: AtomicU64,
    panicked: AtomicBool,
    job: UnsafeCell<Job>,
    /// Held by the thread that uses the pool. The helpers themselves never look in here.
    helpers: Mutex<Vec<&'static Helper>>,
}

// SAFETY: `job` is written only by the holder of `helpers`, while the state is closed and every
// helper that had joined is through; helpers read it only between joining and finishing.
unsafe impl Sync for Pool {}
// SAFETY: as for Sync; the pool is never moved anyway.
unsafe impl Send for Pool {}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());
/// What was asked for; 0 before anyone did.
static REQUESTED: AtomicUsize = AtomicUsize::new(0);
/// What the system lets run at once; 0 before it was asked.
static CORES: AtomicUsize = AtomicUsize::new(0);
thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });

/// How many threads take part in a call: [`requested_threads`], but no more than [`cores`], since
/// threads that take turns on a core are slower than one.
#[inline]
pub fn threads() -> usize {
    requested_threads().min(cores())
}

/// Multiplications that a thread has done by the time that a parked helper has come.
const ALONE: usize = 1 << 19;

/// How many threads so many multiplications are worth: [`threads`], or one.
#[inline]
pub fn workers(multiplications: usize) -> usize {
    if multiplications < ALONE { 1 } else { threads() }
}

/// What [`set_threads`] said, else the environment variable `TENGEN_NUM_THREADS` if it is a number
/// above 0, else [`cores`].
#[inline]
pub fn requested_threads() -> usize {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => first_request(),
        n => n,
    }
}

#[cold]
fn first_request() -> usize {
    let wanted = std::env::var("TENGEN_NUM_THREADS").ok().and_then(|v| v.parse().ok());
    let n = wanted.filter(|n| *n > 0).unwrap_or_else(cores);
    // What another thread has set meanwhile stays.
    match REQUESTED.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => n,
        Err(other) => other,
    }
}

/// Sets how many threads take part in a call, the caller included; 0 and 1 mean the caller alone.
pub fn set_threads(n: usize) {
    REQUESTED.store(n.max(1), Ordering::Relaxed);
}

/// How many threads the system lets this process run at once, by its affinity and the limits of its
/// control group, when it was first asked.
#[inline]
pub fn cores() -> usize {
    match CORES.load(Ordering::Relaxed) {
        0 => {
            let n = std::thread::available_parallelism().map_or(1, |n| n.get());
            CORES.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// Runs `f` with `n` threads, on fewer cores too; for tests.
pub fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
    with_cores(n, || {
        let _restore = Restore(&REQUESTED, REQUESTED.swap(n.max(1), Ordering::Relaxed));
        f()
    })
}

/// Runs `f` as if there were `n` cores.
fn with_cores<R>(n: usize, f: impl FnOnce() -> R) -> R {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let _restore = Restore(&CORES, CORES.swap(n.max(1), Ordering::Relaxed));
    f()
}

/// Gives a setting its old value back.
struct Restore(&'static AtomicUsize, usize);
impl Drop for Restore {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Relaxed);
    }
}

/// An address that tasks share, each for a part of its own.
pub struct Shared<T>(pub *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: sharing the address is harmless; every use states why its part is not shared.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    /// The address of element `i`.
    #[inline(always)]
    pub fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
    /// The address `elements` further on, or back.
    #[inline(always)]
    pub fn offset(self, elements: isize) -> *mut T {
        self.0.wrapping_offset(elements)
    }
}

/// Calls `task(i)` for every `i < tasks`, each once, on several threads.
#[inline]
pub fn for_each(tasks: usize, task: impl Fn(usize) + Sync) {
    if tasks < 2 || threads() == 1 {
        (0..tasks).for_each(task);
    } else {
        run(tasks, &task);
    }
}

/// Splits `0..n` into ranges of `grain` (the last may be shorter) and calls `task(start, end)` for
/// each, on several threads. The split does not depend on the number of threads.
#[inline]
pub fn for_ranges(n: usize, grain: usize, task: impl Fn(usize, usize) + Sync) {
    let grain = grain.max(1);
    for_each(n.div_ceil(grain), |i| task(i * grain, n.min((i + 1) * grain)));
}

/// Cuts `data` into units of `unit` elements, and calls `f(first unit, units)` for groups of `grain`
/// neighbouring units, on several threads: each task has its part to itself.
///
/// # Panics
/// If `data` is no whole number of units.
pub fn for_parts<T: Send>(
    data: &mut [T],
    unit: usize,
    grain: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    for_pairs((data, unit), (&mut [] as &mut [()], 0), grain, |first, part, _| f(first, part));
}

/// [`for_parts`] of two slices of as many units.
///
/// # Panics
/// If the first is no whole number of units, or the second has not as many.
pub fn for_pairs<T: Send, U: Send>(
    (a, m): (&mut [T], usize),
    (b, n): (&mut [U], usize),
    grain: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let units = a.len().checked_div(m).unwrap_or(0);
    assert!(a.len() == units * m && b.len() == units * n, "parts of {} and {}", a.len(), b.len());
    let (p, q) = (Shared(a.as_mut_ptr()), Shared(b.as_mut_ptr()));
    for_ranges(units, grain, |from, to| {
        // SAFETY: `a` and `b` are borrowed until all tasks are through, have `units` units, as was
        // just checked, and every unit is in the range of one task.
        let (a, b) = unsafe {
            (
                std::slice::from_raw_parts_mut(p.at(from * m), (to - from) * m),
                std::slice::from_raw_parts_mut(q.at(from * n), (to - from) * n),
            )
        };
        f(from, a, b);
    });
}

/// Calls `work(worker, task)` for every task, each once, by at most `workers` workers; a worker has
/// one task at a time, so it can have a workspace.
pub fn share(workers: usize, tasks: usize, work: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    for_each(workers.min(tasks), |worker| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            work(worker, task);
        }
    });
}

fn run(tasks: usize, task: &Task<'_>) {
    let serial = || (0..tasks).for_each(task);
    if INSIDE.get() {
        return serial();
    }
    let pool = current();
    let Ok(mut helpers) = pool.helpers.try_lock() else { return serial() };
    let wanted = (threads() - 1).min(tasks - 1);
    while helpers.len() < wanted {
        match spawn(pool) {
            Some(helper) => helpers.push(helper),
            None => break,
        }
    }
    let wanted = wanted.min(helpers.len());
    // SAFETY: only the lifetime changes, and no helper touches the task after this function: it
    // waits below for every helper that joined, and later ones find the epoch closed.
    let task = unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
    // SAFETY: we hold the lock and the epoch is closed, so no helper reads the job.
    unsafe { *pool.job.get() = Job { task, tasks, helpers: wanted as u64, isa: forced() } };
    pool.next.store(0, Ordering::Relaxed);
    pool.finished.store(0, Ordering::Relaxed);
    let epoch = (pool.state.load(Ordering::Relaxed) >> 32).wrapping_add(1);
    pool.state.store(epoch << 32, Ordering::SeqCst);
    for helper in &helpers[..wanted] {
        if helper.parked.load(Ordering::SeqCst) && helper.parked.swap(false, Ordering::SeqCst) {
            helper.thread.unpark();
        }
    }
    let mine = take_tasks(pool, task, tasks);
    let joined = pool.state.fetch_or(CLOSED, Ordering::AcqRel) & JOINED;
    let mut spins = 0;
    while pool.finished.load(Ordering::Acquire) != joined {
        spins += 1;
        if spins > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
    let theirs = pool.panicked.swap(false, Ordering::Relaxed);
    drop(helpers);
    match mine {
        Err(panic) => resume_unwind(panic),
        Ok(()) if theirs => panic!("a task of the thread pool panicked"),
        Ok(()) => {}
    }
}

fn take_tasks(pool: &Pool, task: &Task<'_>, tasks: usize) -> std::thread::Result<()> {
    INSIDE.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        loop {
            let i = pool.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                break;
            }
            task(i);
        }
    }));
    INSIDE.set(false);
    result
}

/// This process's pool. A forked child gets a new one, since the helpers live in the parent.
fn current() -> &'static Pool {
    let mut pool = POOL.load(Ordering::Acquire);
    if pool.is_null() {
        static FORK: Once = Once::new();
        FORK.call_once(|| {
            extern "C" fn forget() {
                POOL.store(std::ptr::null_mut(), Ordering::Release);
                INSIDE.with(|i| i.set(false));
            }
            #[cfg(unix)]
            // SAFETY: the handler only stores to an atomic and to a const-initialised cell.
            unsafe {
                libc::pthread_atfork(None, None, Some(forget));
            }
        });
        let new = Box::into_raw(Box::new(Pool {
            state: AtomicU64::new(CLOSED),
            next: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            panicked: AtomicBool::new(false),
            job: UnsafeCell::new(Job { task: &|_| {}, tasks: 0, helpers: 0, isa: None }),
            helpers: Mutex::new(Vec::new()),
        }));
        match POOL.compare_exchange(pool, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => pool = new,
            Err(other) => {
                // SAFETY: `new` came from Box::into_raw just now and was shared with no one.
                drop(unsafe { Box::from_raw(new) });
                pool = other;
            }
        }
    }
    // SAFETY: pools are leaked, so the pointer stays valid.
    unsafe { &*pool }
}

/// Starts a helper, or gives nothing if the system has no thread to spare.
fn spawn(pool: &'static Pool) -> Option<&'static Helper> {
    let (send, receive) = std::sync::mpsc::sync_channel::<&'static Helper>(1);
    let join = std::thread::Builder::new()
        .name("tengen".into())
        .spawn(move || {
            if let Ok(me) = receive.recv() {
                help(pool, me);
            }
        })
        .ok()?;
    let helper: &'static Helper = Box::leak(Box::new(Helper {
        thread: join.thread().clone(),
        parked: AtomicBool::new(false),
    }));
    send.send(helper).ok()?;
    Some(helper)
}

fn help(pool: &'static Pool, me: &'static Helper) {
    let mut seen = u64::MAX;
    let mut spins = 0;
    loop {
        let state = pool.state.load(Ordering::SeqCst);
        if state >> 32 != seen && state & CLOSED == 0 {
            let join =
                pool.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if join.is_ok() {
                // SAFETY: the epoch was open when we joined, so the caller waits for us before it
                // lets go of the task or writes another job.
                let job = unsafe { *pool.job.get() };
                if state & JOINED < job.helpers {
                    // SAFETY: as above.
                    let task = unsafe { &*job.task };
                    if with_forced(job.isa, || take_tasks(pool, task, job.tasks)).is_err() {
                        pool.panicked.store(true, Ordering::Relaxed);
                    }
                }
                seen = state >> 32;
                pool.finished.fetch_add(1, Ordering::Release);
                spins = 0;
            }
            continue;
        }
        spins += 1;
        if spins < SPINS {
            std::hint::spin_loop();
            continue;
        }
        me.parked.store(true, Ordering::SeqCst);
        let state = pool.state.load(Ordering::SeqCst);
        if state >> 32 == seen || state & CLOSED != 0 {
            std::thread::park();
        }
        me.parked.store(false, Ordering::SeqCst);
        spins = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_any_number_of_threads() {
        let run = |tasks: usize| {
            let hits: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            for_each(tasks, |i| {
                hits[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
        };
        for n in [1, 2, 3, 7] {
            with_threads(n, || {
                for tasks in [0, 1, 2, 5, 1000] {
                    (0..50).for_each(|_| run(tasks));
                }
            });
        }
    }

    #[test]
    fn no_more_threads_take_part_than_there_are_cores() {
        for (cores, asked, used) in [(2, 8, 2), (8, 2, 2), (4, 4, 4), (1, usize::MAX, 1)] {
            with_cores(cores, || {
                let _restore = Restore(&REQUESTED, REQUESTED.load(Ordering::Relaxed));
                set_threads(asked);
                assert_eq!((threads(), requested_threads()), (used, asked));
            });
        }
    }

    #[test]
    fn nested_and_concurrent_calls_complete() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..100 {
                        for_each(8, |_| for_each(8, |_| _ = total.fetch_add(1, Ordering::Relaxed)));
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 100 * 64);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_leaves_the_pool_usable() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        for _ in 0..20 {
            assert!(catch_unwind(|| for_each(16, |i| assert!(i != 7))).is_err());
        }
        std::panic::set_hook(hook);
        let total = AtomicUsize::new(0);
        for_each(16, |i| _ = total.fetch_add(i, Ordering::Relaxed));
        assert_eq!(total.into_inner(), 120);
    }
}
