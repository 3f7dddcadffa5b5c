#![no_main]

use libfuzzer_sys::fuzz_target;
use tengen_core::files::safetensors;

fuzz_target!(|data: &[u8]| {
    if let Ok(contents) = safetensors::read(data) {
        let out = safetensors::to_bytes(&contents).expect("what was read can be written");
        assert_eq!(safetensors::read(&out).expect("what was written can be read"), contents);
    }
});
