#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasock::internals::fuzzing::policy(data));
