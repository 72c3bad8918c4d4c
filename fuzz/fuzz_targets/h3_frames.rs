#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weftline_sim::fuzz::h3_frames(data));
