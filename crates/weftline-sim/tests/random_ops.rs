//! Random operations on two peers, against a model of what streams and datagrams must do.
//!
//! `OPS_CASES=10000` runs as many; a failure names its seed, and `OPS_SEED` runs that one alone.
//! Seeds that failed once are in `tests/ops_seeds.txt` and always run.

use std::{env, fs, path::Path};

use weftline_sim::ops::Case;

#[test]
fn two_peers_do_as_the_model_says() {
    let seeds: Vec<u64> = match env::var("OPS_SEED") {
        Ok(seed) => vec![seed.parse().expect("OPS_SEED is a number")],
        Err(_) => {
            let count =
                env::var("OPS_CASES").map_or(150, |n| n.parse().expect("OPS_CASES is a number"));
            kept_seeds().into_iter().chain(0..count).collect()
        }
    };
    let mut ops = 0;
    for &seed in &seeds {
        match Case::new(seed).run() {
            Ok(count) => ops += count,
            Err(failed) => panic!("{failed}\nrun it again with OPS_SEED={seed}"),
        }
    }
    println!(
        "{} cases, {ops} operations, all as the model says",
        seeds.len()
    );
}

/// Seeds that failed once.
fn kept_seeds() -> Vec<u64> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ops_seeds.txt");
    let text = fs::read_to_string(file).expect("tests/ops_seeds.txt is there");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.trim().parse().expect("one seed a line"))
        .collect()
}
