#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use tengen_core::files::npz;

fuzz_target!(|data: &[u8]| {
    let _ = npz::read(Cursor::new(data));
});
