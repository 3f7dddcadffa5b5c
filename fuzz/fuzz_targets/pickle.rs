#![no_main]

use libfuzzer_sys::fuzz_target;
use tengen_core::files::pickle;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = pickle::read(data) {
        let _ = value.require_inert();
        for (_, array) in value.tensors().unwrap_or_default() {
            array.to_f64().expect("an array that was read is consistent");
        }
    }
});
