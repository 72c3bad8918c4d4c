//! What crates depend on, as far as the rules say something about it.

/// The names in a table of a `Cargo.toml`, such as `[dependencies]`.
pub fn names_in_table(manifest: &str, table: &str) -> Vec<String> {
    let header = format!("[{table}]");
    let body = manifest
        .lines()
        .skip_while(|line| line.trim() != header)
        .skip(1);
    body.take_while(|line| !line.starts_with('['))
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().split('.').next().unwrap_or("").to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The values of `name = "..."` in every `[[bin]]` of a `Cargo.toml`.
pub fn binaries(manifest: &str) -> Vec<String> {
    manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|bin| {
            bin.lines()
                .find_map(|line| line.trim().strip_prefix("name = \""))
        })
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
[package]
name = "x"
[dependencies]
# quinn = "1"
bytes.workspace = true
thiserror = { version = "2", features = ["std"] } # why
[dev-dependencies]
proptest = "1"
[[bin]]
name = "frames"
path = "a.rs"
[[bin]]
path = "b.rs"
name = "other"
"#;

    #[test]
    fn tables_and_binaries() {
        assert_eq!(
            names_in_table(MANIFEST, "dependencies"),
            ["bytes", "thiserror"]
        );
        assert_eq!(names_in_table(MANIFEST, "dev-dependencies"), ["proptest"]);
        assert_eq!(names_in_table(MANIFEST, "build-dependencies"), [""; 0]);
        assert_eq!(binaries(MANIFEST), ["frames", "other"]);
    }
}
