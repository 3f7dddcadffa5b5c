//! Memory of tensors: a caching allocator and the reference-counted blocks that it gives.

use crate::{Result, bail};
use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every block starts at such an address, so vector loads never straddle cache lines.
pub(crate) const ALIGN: usize = 64;
/// Blocks of at least this size start at a huge page and ask for huge pages.
const HUGE: usize = 2 << 20;
/// Requests of at least this size are held against the memory that the system has left, since the
/// system itself may promise more than it has.
const CHECKED: usize = 256 << 20;

/// A block of bytes, all initialised: the system hands them out zeroed, and a reused block holds
/// what its last owner wrote.
pub(crate) struct Storage {
    ptr: NonNull<u8>,
    class: usize,
}

// SAFETY: a Storage owns its bytes, like a Vec<u8>.
unsafe impl Send for Storage {}
// SAFETY: shared access only reads; writing needs `&mut` or the allocation's first owner.
unsafe impl Sync for Storage {}

/// Four size classes per power of two, from 64 bytes up: at most a quarter is wasted.
const CLASSES: usize = 4 * 48;

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

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, if bytes >= HUGE { HUGE } else { ALIGN }).ok()
}

/// A free block's address.
struct Free(NonNull<u8>);
// SAFETY: a free block is owned by the list that holds it.
unsafe impl Send for Free {}

static FREE: [Mutex<Vec<Free>>; CLASSES] = [const { Mutex::new(Vec::new()) }; CLASSES];
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CACHED: AtomicUsize = AtomicUsize::new(0);
/// All blocks together may exceed the peak of use by a quarter, and by at least this much, before
/// free ones go back to the system.
const KEEP: usize = 64 << 20;

/// How much memory tensors take, in bytes.
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
        cached: CACHED.load(Ordering::Relaxed),
    }
}

/// Forgets past peaks.
pub fn reset_peak_memory() {
    PEAK.store(USED.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Gives all free blocks back to the system.
pub fn release_cached_memory() {
    for (class, list) in FREE.iter().enumerate() {
        let blocks = std::mem::take(&mut *list.lock().unwrap_or_else(|e| e.into_inner()));
        for block in blocks {
            CACHED.fetch_sub(class_bytes(class), Ordering::Relaxed);
            system_free(block.0, class);
        }
    }
}

impl Storage {
    /// A block of at least `bytes` bytes.
    ///
    /// # Errors
    /// Memory: the system has no such block.
    pub(crate) fn new(bytes: usize) -> Result<Storage> {
        let class = class_of(bytes);
        if class >= CLASSES {
            bail!(Memory, "out of memory: {bytes} bytes cannot be had");
        }
        let (ptr, class) = match cached(class) {
            Some(block) => block,
            None => (fresh(class_bytes(class))?, class),
        };
        let size = class_bytes(class);
        let used = USED.fetch_add(size, Ordering::Relaxed) + size;
        if used > PEAK.load(Ordering::Relaxed) {
            PEAK.fetch_max(used, Ordering::Relaxed);
        }
        Ok(Storage { ptr, class })
    }

    #[inline]
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    pub(crate) fn capacity(&self) -> usize {
        class_bytes(self.class)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let size = class_bytes(self.class);
        USED.fetch_sub(size, Ordering::Relaxed);
        let mut list = FREE[self.class].lock().unwrap_or_else(|e| e.into_inner());
        if list.try_reserve(1).is_ok() {
            list.push(Free(self.ptr));
            CACHED.fetch_add(size, Ordering::Relaxed);
        } else {
            system_free(self.ptr, self.class);
        }
    }
}

/// Takes a kept block of a class, or else, for a large one, of a class that is up to half as large
/// again.
#[inline]
fn cached(class: usize) -> Option<(NonNull<u8>, usize)> {
    let take = |class: usize| {
        let block = FREE[class].lock().unwrap_or_else(|e| e.into_inner()).pop()?;
        CACHED.fetch_sub(class_bytes(class), Ordering::Relaxed);
        Some((block.0, class))
    };
    take(class).or_else(|| {
        let more = if class_bytes(class) >= HUGE { 2 } else { 0 };
        (class + 1..=class + more).filter(|c| *c < CLASSES).find_map(take)
    })
}

/// A new block. Kept ones go back to the system first, the largest of them, where all blocks
/// together would go too far beyond the peak of use.
#[cold]
fn fresh(size: usize) -> Result<NonNull<u8>> {
    let used = USED.load(Ordering::Relaxed);
    let peak = PEAK.load(Ordering::Relaxed).max(used.saturating_add(size));
    let most = (peak + peak / 4).max(peak.saturating_add(KEEP));
    let spare = most.saturating_sub(used).saturating_sub(size);
    for class in (0..CLASSES).rev() {
        while CACHED.load(Ordering::Relaxed) > spare {
            let Some(block) = FREE[class].lock().unwrap_or_else(|e| e.into_inner()).pop() else {
                break;
            };
            CACHED.fetch_sub(class_bytes(class), Ordering::Relaxed);
            system_free(block.0, class);
        }
    }
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

#[cold]
fn system_alloc(size: usize) -> Option<NonNull<u8>> {
    if size >= CHECKED && available_memory().is_some_and(|free| size > free) {
        return None;
    }
    #[cfg(target_os = "linux")]
    if size >= HUGE {
        return pages::map(size);
    }
    // SAFETY: class sizes are never zero.
    NonNull::new(unsafe { alloc::alloc_zeroed(layout(size)?) })
}

#[cold]
fn system_free(ptr: NonNull<u8>, class: usize) {
    let size = class_bytes(class);
    #[cfg(target_os = "linux")]
    if size >= HUGE {
        return pages::unmap(ptr.as_ptr(), size);
    }
    if let Some(layout) = layout(size) {
        // SAFETY: the block came from `system_alloc` with this very layout.
        unsafe { alloc::dealloc(ptr.as_ptr(), layout) };
    }
}

/// Blocks straight from the system, which zeroes their pages when they are first touched: huge
/// ones, as they were asked for before that.
#[cfg(target_os = "linux")]
mod pages {
    use super::HUGE;
    use std::ptr::NonNull;

    pub fn map(size: usize) -> Option<NonNull<u8>> {
        let all = size.checked_add(HUGE)?;
        // SAFETY: a new private mapping touches no other memory.
        let start = unsafe {
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), all, access, kind, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start: *mut u8 = start.cast();
        let before = start.align_offset(HUGE).min(HUGE);
        let block = start.wrapping_add(before);
        unmap(start, before);
        unmap(block.wrapping_add(size), HUGE - before);
        // SAFETY: the range is ours; the call is only advice about how to back it.
        unsafe { libc::madvise(block.cast(), size, libc::MADV_HUGEPAGE) };
        NonNull::new(block)
    }

    /// Gives back pages that [`map`] got and nothing refers to any more.
    pub fn unmap(start: *mut u8, size: usize) {
        if size > 0 {
            // SAFETY: the range is a whole number of pages of ours, and unused by now.
            unsafe { libc::munmap(start.cast(), size) };
        }
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
