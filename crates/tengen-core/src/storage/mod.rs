//! Memory of tensors: a caching allocator and the reference-counted blocks that it gives.

mod arena;
mod pages;

use crate::{Result, bail};
use arena::{Arena, GRANULE};
use std::alloc::{self, Layout};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Every block starts at such an address, so vector loads never straddle cache lines.
pub(crate) const ALIGN: usize = 64;
/// Blocks of more than this are parts of mapped memory, smaller ones belong to size classes.
const LARGE: usize = if cfg!(unix) { 256 << 10 } else { usize::MAX };
/// Requests of at least this size are held against the memory that the system has left, since the
/// system itself may promise more than it has.
const CHECKED: usize = 256 << 20;

/// A block of bytes, all initialised: the system hands them out zeroed, and a reused block holds
/// what its last owner wrote.
pub(crate) struct Storage {
    ptr: NonNull<u8>,
    size: usize,
}

// SAFETY: a Storage owns its bytes, like a Vec<u8>.
unsafe impl Send for Storage {}
// SAFETY: shared access only reads; writing needs `&mut` or the allocation's first owner.
unsafe impl Sync for Storage {}

/// The memory of a value of a few bytes, which lives in the tensor itself.
pub(crate) struct Inline(UnsafeCell<[u64; Inline::BYTES / 8]>);

// SAFETY: as for Storage.
unsafe impl Sync for Inline {}

impl Inline {
    pub(crate) const BYTES: usize = 64;

    #[inline]
    pub(crate) fn new() -> Inline {
        Inline(UnsafeCell::new([0; _]))
    }

    #[inline]
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

/// Four size classes per power of two, from 64 bytes up: at most a quarter is wasted.
const CLASSES: usize = if cfg!(unix) { 4 * 12 } else { 4 * 48 };

fn class_of(bytes: usize) -> usize {
    let units = bytes.div_ceil(ALIGN).max(1);
    if units <= 4 {
        return units - 1;
    }
    let log = (units - 1).ilog2() as usize;
    (log - 1) * 4 + ((units - 1) >> (log - 2)) - 4
}

fn class_bytes(class: usize) -> usize {
    if class < 4 {
        return (class + 1) * ALIGN;
    }
    let (log, quarter) = (class / 4 + 1, class % 4);
    ((quarter + 5) << (log - 2)) * ALIGN
}

/// The bytes of the block that serves a request; None if no address space could hold it.
fn block_bytes(bytes: usize) -> Option<usize> {
    if bytes > LARGE {
        return bytes.checked_next_multiple_of(GRANULE).filter(|b| *b <= isize::MAX as usize);
    }
    let class = class_of(bytes);
    (class < CLASSES).then(|| class_bytes(class))
}

/// A free block's address.
struct Free(NonNull<u8>);
// SAFETY: a free block is owned by the list that holds it.
unsafe impl Send for Free {}

static FREE: [Mutex<Vec<Free>>; CLASSES] = [const { Mutex::new(Vec::new()) }; CLASSES];
static MAPPED: Mutex<Arena> = Mutex::new(Arena::new());
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Bytes of all blocks, in use or free; it changes only where the system gives or takes some.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// All blocks together may exceed the peak of use by a quarter, and by at least this much, before
/// free ones go back to the system.
const KEEP: usize = 64 << 20;

/// How much memory tensors take, in bytes. Values of at most 64 bytes are not counted: they live in
/// their handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// In live tensors.
    pub used: usize,
    /// The most that was ever in live tensors at once (since [`reset_peak_memory`]).
    pub peak: usize,
    /// In free blocks that are kept for reuse.
    pub cached: usize,
}

/// How much memory tensors take now.
pub fn memory_stats() -> MemoryStats {
    MemoryStats {
        used: USED.load(Ordering::Relaxed),
        peak: PEAK.load(Ordering::Relaxed),
        cached: kept(),
    }
}

/// Bytes of free blocks.
fn kept() -> usize {
    HELD.load(Ordering::Relaxed).saturating_sub(USED.load(Ordering::Relaxed))
}

/// Forgets past peaks.
pub fn reset_peak_memory() {
    PEAK.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Gives all free blocks back to the system.
pub fn release_cached_memory() {
    give_back(usize::MAX);
}

impl Storage {
    /// A block of at least `bytes` bytes.
    ///
    /// # Errors
    /// Memory: the system has no such block.
    pub(crate) fn new(bytes: usize) -> Result<Storage> {
        let Some(size) = block_bytes(bytes) else {
            bail!(Memory, "out of memory: {bytes} bytes cannot be had");
        };
        let ptr = match cached(size) {
            Some(block) => block,
            None => fresh(size)?,
        };
        let used = USED.fetch_add(size, Ordering::Relaxed) + size;
        if used > PEAK.load(Ordering::Relaxed) {
            PEAK.fetch_max(used, Ordering::Relaxed);
        }
        Ok(Storage { ptr, size })
    }

    #[inline]
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.size
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        USED.fetch_sub(self.size, Ordering::Relaxed);
        if self.size > LARGE {
            return lock(&MAPPED).give(self.ptr.as_ptr().expose_provenance(), self.size);
        }
        let mut list = lock(&FREE[class_of(self.size)]);
        if list.try_reserve(1).is_ok() {
            list.push(Free(self.ptr));
        } else {
            drop(list);
            system_free(self.ptr, self.size);
        }
    }
}

/// The lists are whole whatever panicked elsewhere.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(|e| e.into_inner())
}

/// Takes a kept block.
fn cached(size: usize) -> Option<NonNull<u8>> {
    if size > LARGE {
        let start = lock(&MAPPED).take(size)?;
        return NonNull::new(std::ptr::with_exposed_provenance_mut(start));
    }
    Some(lock(&FREE[class_of(size)]).pop()?.0)
}

/// A new block. Kept ones go back to the system first, the largest of them, where all blocks
/// together would go too far beyond the peak of use.
#[cold]
fn fresh(size: usize) -> Result<NonNull<u8>> {
    let used = USED.load(Ordering::Relaxed);
    let peak = PEAK.load(Ordering::Relaxed).max(used.saturating_add(size));
    let most = (peak + peak / 4).max(peak.saturating_add(KEEP));
    let spare = most.saturating_sub(used).saturating_sub(size);
    give_back(kept().saturating_sub(spare));
    if let Some(ptr) = system_alloc(size) {
        return Ok(ptr);
    }
    release_cached_memory();
    match system_alloc(size) {
        Some(ptr) => Ok(ptr),
        None => bail!(
            Memory,
            "out of memory: {size} bytes cannot be had ({} bytes are in live tensors)",
            USED.load(Ordering::Relaxed)
        ),
    }
}

/// Gives at least `bytes` of the kept memory back to the system, if there is as much: the largest
/// blocks first.
#[cold]
fn give_back(bytes: usize) {
    if bytes == 0 {
        return;
    }
    let mut done = lock(&MAPPED).trim(bytes);
    HELD.fetch_sub(done, Ordering::Relaxed);
    for class in (0..CLASSES).rev() {
        let size = class_bytes(class);
        while done < bytes {
            let Some(block) = lock(&FREE[class]).pop() else { break };
            system_free(block.0, size);
            done += size;
        }
    }
}

#[cold]
fn system_alloc(size: usize) -> Option<NonNull<u8>> {
    if size >= CHECKED && available_memory().is_some_and(|free| size > free) {
        return None;
    }
    if size > LARGE {
        let mut mapped = lock(&MAPPED);
        HELD.fetch_add(mapped.grow(size)?, Ordering::Relaxed);
        let start = mapped.take(size)?;
        return NonNull::new(std::ptr::with_exposed_provenance_mut(start));
    }
    // SAFETY: class sizes are never zero.
    let block = unsafe { alloc::alloc_zeroed(Layout::from_size_align(size, ALIGN).ok()?) };
    let block = NonNull::new(block)?;
    HELD.fetch_add(size, Ordering::Relaxed);
    Some(block)
}

#[cold]
fn system_free(ptr: NonNull<u8>, size: usize) {
    if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
        // SAFETY: the block came from `system_alloc` with this very layout.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) };
        HELD.fetch_sub(size, Ordering::Relaxed);
    }
}

/// The bytes that the system could still give without swapping, where it says so.
fn available_memory() -> Option<usize> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_bytes_and_waste_at_most_a_quarter() {
        for bytes in (1..100_000).chain([1 << 20, (1 << 20) + 1, 3 << 30]) {
            let class = class_of(bytes);
            assert!(class_bytes(class) >= bytes, "{bytes}");
            assert!(class == 0 || class_bytes(class - 1) < bytes, "{bytes}");
            assert!(class_bytes(class) <= bytes + (bytes / 4).max(ALIGN), "{bytes}");
        }
    }

    #[test]
    fn kept_blocks_give_way_to_other_sizes() {
        for megabytes in 3..40 {
            let blocks: Vec<_> = (0..4).map(|_| Storage::new(megabytes << 20).unwrap()).collect();
            drop(blocks);
            let MemoryStats { used, peak, cached } = memory_stats();
            let most = (peak + peak / 4).max(peak + KEEP);
            assert!(used + cached <= most + (160 << 20), "{used} {cached} {peak}");
        }
    }

    #[test]
    fn a_block_that_cannot_be_had_is_an_error() {
        assert!(Storage::new(usize::MAX).is_err());
        assert!(Storage::new(isize::MAX as usize).is_err());
        assert!(Storage::new(1 << 58).is_err());
        assert!(Storage::new(1 << 46).is_err());
    }
}
