//! Pages straight from the system, which zeroes them when they are first touched: huge ones where it
//! has them, since they are asked for before that.

/// Mappings start at a huge page.
pub const HUGE: usize = 2 << 20;

/// The address of `len` new bytes, all zero; `len` is a multiple of [`HUGE`].
#[cfg(unix)]
pub fn map(len: usize) -> Option<usize> {
    let all = len.checked_add(HUGE)?;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: a new private mapping touches no other memory.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), all, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let start = start.expose_provenance();
    let block = start.next_multiple_of(HUGE);
    // SAFETY: what lies around the block is ours and unused.
    unsafe {
        unmap(start, block - start);
        unmap(block + len, HUGE - (block - start));
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the range is ours; the call is only advice about how to back it.
    unsafe {
        libc::madvise(std::ptr::with_exposed_provenance_mut(block), len, libc::MADV_HUGEPAGE)
    };
    Some(block)
}

/// Gives pages back.
///
/// # Safety
/// They come from [`map`] and nothing refers to them.
#[cfg(unix)]
pub unsafe fn unmap(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: by the contract; the range is a whole number of pages.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(start), len) };
    }
}

/// This system has no pages for us; the allocator of the standard library serves all requests.
#[cfg(not(unix))]
pub fn map(_len: usize) -> Option<usize> {
    None
}

/// # Safety
/// Nothing to keep, as there are no pages.
#[cfg(not(unix))]
pub unsafe fn unmap(_start: usize, _len: usize) {}
