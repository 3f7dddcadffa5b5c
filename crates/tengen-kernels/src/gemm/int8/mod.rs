//! Exact products of 8-bit integers.
//!
//! Operands are packed in words. With VNNI a word holds four bytes, and one instruction adds the
//! four products of unsigned and signed bytes to a 32-bit sum; where both operands are signed, A is
//! packed with 128 added, and the sums of B's columns start from −128·Σb. Elsewhere a word holds
//! two 16-bit integers, whose products a 32-bit sum takes without saturation. Sums wrap at 32 bits
//! on every path, so all paths give the same bits.

mod pack;
mod sums;
#[cfg(test)]
mod tests;

use super::Strided;
use super::blocks::{Block, Left, Plan, Right};
use crate::lanes::{Feature, Isa, has, isa};
use crate::pool;

/// An 8-bit integer.
pub trait Byte: Copy + Send + Sync + 'static {
    /// Whether it has a sign.
    const SIGNED: bool;
    /// The value that a byte has as this type, as the bits of a 16-bit integer.
    fn widen(byte: u8) -> u32;
}
impl Byte for u8 {
    const SIGNED: bool = false;
    #[inline(always)]
    fn widen(byte: u8) -> u32 {
        byte.into()
    }
}
impl Byte for i8 {
    const SIGNED: bool = true;
    #[inline(always)]
    fn widen(byte: u8) -> u32 {
        (byte as i8 as i16 as u16).into()
    }
}

/// How products are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// AVX-512 VNNI.
    Quads512,
    /// AVX-VNNI.
    Quads256,
    /// AVX-512.
    Pairs512,
    /// AVX2.
    Pairs256,
    /// Plain Rust.
    Portable,
}

impl Method {
    /// The best for the instruction set in use.
    fn new() -> Self {
        match (isa(), has(Feature::Vnni)) {
            (Isa::Avx512, true) => Self::Quads512,
            (Isa::Avx2, true) => Self::Quads256,
            (Isa::Avx512, false) => Self::Pairs512,
            (Isa::Avx2, false) => Self::Pairs256,
            (Isa::Portable, _) => Self::Portable,
        }
    }

    /// Rows and columns of the tile.
    fn tile(self) -> (usize, usize) {
        match self {
            Self::Quads512 | Self::Pairs512 => (14, 32),
            Self::Quads256 | Self::Pairs256 => (6, 16),
            Self::Portable => (4, 8),
        }
    }

    /// Whether words hold four bytes.
    fn quads(self) -> bool {
        matches!(self, Self::Quads512 | Self::Quads256)
    }

    fn plan(self, m: usize, n: usize, k: usize) -> Plan {
        let steps = if self.quads() { k.div_ceil(4) } else { k.div_ceil(4) * 2 };
        let workers = pool::workers(m * n * steps);
        Plan { m, n, steps, tile: self.tile(), head: 1, workers }
    }
}

/// Words that packed A takes: all of it, so that it can serve several multiplications.
pub fn packed_len(m: usize, k: usize) -> usize {
    Method::new().plan(m, 0, k).packed_len()
}

/// Words of workspace that [`multiply`] takes.
pub fn workspace_len(n: usize, k: usize) -> usize {
    Method::new().plan(0, n, k).workspace_len()
}

/// Packs A (`m` × `k`) to `packed`. It will be multiplied by a B of `Y`.
///
/// # Safety
/// The matrix has `m` × `k` elements, and `packed` is writable for [`packed_len`] words.
pub unsafe fn pack_a<X: Byte, Y: Byte>((m, k): (usize, usize), a: Strided<X>, packed: *mut u32) {
    let method = Method::new();
    let plan = method.plan(m, 0, k).packer();
    let (rows, _) = plan.tile;
    let flip = method.quads() && X::SIGNED && Y::SIGNED;
    // SAFETY: by the contract; the driver asks for parts of A and of `packed` that exist.
    unsafe {
        plan.pack_a(packed, &|row, n, steps, dst| {
            let panel = pack::Panel { from: a, outer: row, n, steps, k, width: rows };
            panel.pack(method.quads(), dst);
            if flip {
                panel.flip(dst);
            }
        });
    }
}

/// C = A·B, or C += A·B, with A packed by [`pack_a`] on the same instruction set. `b.outer` counts
/// columns. At least one operand is signed. Sums wrap at 32 bits.
///
/// # Safety
/// `packed` holds an `m` × `k` A of `X`, packed for a B of `Y`; `b` has `n` × `k` elements,
/// `c` is readable and writable for `m` rows of `n` elements at distance `ldc`, `work` is writable
/// for [`workspace_len`] words.
pub unsafe fn multiply<X: Byte, Y: Byte>(
    (m, n, k): (usize, usize, usize),
    packed: *const u32,
    b: Strided<Y>,
    (c, ldc): (*mut i32, usize),
    accumulate: bool,
    work: *mut u32,
) {
    const { assert!(X::SIGNED || Y::SIGNED, "one operand has to be signed") };
    let method = Method::new();
    let plan = method.plan(m, n, k);
    let (_, columns) = plan.tile;
    let flipped = method.quads() && X::SIGNED && Y::SIGNED;
    let pack = |column, n, steps: std::ops::Range<usize>, dst: *mut u32| {
        let count = steps.len();
        let panel = pack::Panel { from: b, outer: column, n, steps, k, width: columns };
        // SAFETY: the driver asks for parts of B and of the workspace that exist; the head is the
        // first step's worth.
        unsafe {
            let body = dst.add(columns);
            panel.pack(method.quads(), body);
            dst.write_bytes(0, columns);
            if flipped {
                sums::start(method, columns, count, body, dst);
            }
        }
    };
    // SAFETY: by the contract; the blocks are the driver's, packed by this method.
    let run = |block: Block<u32, i32>| unsafe { sums::block::<X, Y>(method, block) };
    // SAFETY: by the contract.
    unsafe {
        let (left, right) = (Left::Packed(packed), Right::Pack(&pack));
        plan.multiply(left, c, ldc, accumulate, work, right, &run);
    }
}
