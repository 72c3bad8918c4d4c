//! The fuzz bodies over the committed corpus, on stable Rust.

use std::{fs, path::Path};

use weftline_sim::fuzz::TARGETS;

#[test]
fn every_target_passes_its_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, body) in TARGETS {
        let shim = fuzz.join("fuzz_targets").join(format!("{name}.rs"));
        assert!(shim.exists(), "{name} has no shim in fuzz/fuzz_targets");
        let corpus = fuzz.join("corpus").join(name);
        let mut files = 0;
        for entry in fs::read_dir(&corpus).unwrap_or_else(|_| panic!("{name} has no corpus")) {
            let path = entry.expect("a readable corpus").path();
            println!("{}", path.display());
            let data = fs::read(&path).expect("a readable file");
            body(&data);
            // And what a truncated or changed input does.
            for end in 0..data.len().min(64) {
                body(&data[..end]);
            }
            for at in 0..data.len().min(64) {
                let mut changed = data.clone();
                changed[at] ^= 0x55;
                body(&changed);
            }
            files += 1;
        }
        assert!(files > 0, "the corpus of {name} is empty");
    }
}
