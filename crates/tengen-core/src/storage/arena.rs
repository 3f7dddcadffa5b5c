//! Large blocks: free ranges of mapped memory that are split for requests and joined again, so that
//! memory freed in one size serves the next request of another.

use super::pages;
use std::collections::{BTreeMap, BTreeSet};

/// Sizes are multiples of this.
pub const GRANULE: usize = 64 << 10;
/// The least that is mapped at once. What is not touched takes no memory.
const CHUNK: usize = 64 << 20;

/// The free ranges. Blocks are addresses here; the owner of a block makes them pointers.
pub struct Arena {
    by_start: BTreeMap<usize, usize>,
    by_len: BTreeSet<(usize, usize)>,
}

impl Arena {
    pub const fn new() -> Arena {
        Arena { by_start: BTreeMap::new(), by_len: BTreeSet::new() }
    }

    /// The start of `len` bytes, out of the smallest range that has as many.
    pub fn take(&mut self, len: usize) -> Option<usize> {
        let (whole, start) = *self.by_len.range((len, 0)..).next()?;
        self.remove(start, whole);
        if whole > len {
            self.insert(start + len, whole - len);
        }
        Some(start)
    }

    /// Takes `len` bytes back and joins them with the free neighbours.
    pub fn give(&mut self, mut start: usize, mut len: usize) {
        if let Some((&before, &its)) = self.by_start.range(..start).next_back()
            && before + its == start
        {
            self.remove(before, its);
            (start, len) = (before, its + len);
        }
        if let Some(&its) = self.by_start.get(&(start + len)) {
            self.remove(start + len, its);
            len += its;
        }
        self.insert(start, len);
    }

    /// Maps memory for a request of `len` bytes that no range can serve, and says how much.
    pub fn grow(&mut self, len: usize) -> Option<usize> {
        let least = len.checked_next_multiple_of(pages::HUGE)?;
        let (start, len) =
            [least.max(CHUNK), least].into_iter().find_map(|len| Some((pages::map(len)?, len)))?;
        self.give(start, len);
        Some(len)
    }

    /// Unmaps at least `bytes` of what is free, if there is as much, from the largest ranges. Says
    /// how much.
    pub fn trim(&mut self, bytes: usize) -> usize {
        let mut done = 0;
        while done < bytes
            && let Some(&(len, start)) = self.by_len.last()
        {
            let cut =
                (bytes - done).checked_next_multiple_of(pages::HUGE).map_or(len, |b| b.min(len));
            self.remove(start, len);
            if cut < len {
                self.insert(start, len - cut);
            }
            // SAFETY: the range is mapped, and free: nothing refers to it.
            unsafe { pages::unmap(start + len - cut, cut) };
            done += cut;
        }
        done
    }

    fn insert(&mut self, start: usize, len: usize) {
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
    }

    fn remove(&mut self, start: usize, len: usize) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_split_joined_and_given_back() {
        let mut arena = Arena::new();
        assert_eq!(arena.take(GRANULE), None);
        let all = arena.grow(10 * GRANULE).unwrap();
        let blocks: Vec<usize> = (1..5).map(|n| arena.take(n * GRANULE).unwrap()).collect();
        for (i, a) in blocks.iter().enumerate() {
            for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                assert!(a + (i + 1) * GRANULE <= *b || b + (j + 1) * GRANULE <= *a);
            }
        }
        for n in [2, 0, 3, 1] {
            arena.give(blocks[n], (n + 1) * GRANULE);
        }
        assert_eq!(arena.by_start.len(), 1);
        // The smallest range that suffices serves a request.
        let (first, _, hole) = (
            arena.take(GRANULE).unwrap(),
            arena.take(GRANULE).unwrap(),
            arena.take(2 * GRANULE).unwrap(),
        );
        let _wall = arena.take(GRANULE).unwrap();
        arena.give(hole, 2 * GRANULE);
        arena.give(first, GRANULE);
        assert_eq!(arena.take(2 * GRANULE), Some(hole));
        assert_eq!(arena.take(GRANULE), Some(first));
        let free: usize = arena.by_start.values().sum();
        assert_eq!(free, all - 5 * GRANULE);
        assert!(arena.trim(GRANULE) >= GRANULE);
        arena.trim(usize::MAX);
        assert!(arena.by_len.is_empty() && arena.by_start.is_empty());
    }
}
