//! Any bytes as a profile file: refused or read, without panic and within bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_analyzer::Profile;

fuzz_target!(|bytes: &[u8]| {
    let _ = Profile::from_bytes(bytes);
});
