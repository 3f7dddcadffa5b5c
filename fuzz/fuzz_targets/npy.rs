#![no_main]

use libfuzzer_sys::fuzz_target;
use tengen_core::files::npy;

fuzz_target!(|data: &[u8]| {
    if let Ok(array) = npy::read(data) {
        let mut out = Vec::new();
        npy::write(&mut out, &array).expect("what was read can be written");
        assert_eq!(npy::read(&out).expect("what was written can be read"), array);
    }
});
