//! The files of the core crate, with what only tests see taken out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::source::{self, Token};

/// A source file of the core.
#[derive(Debug)]
pub struct File {
    /// Its path below `src`, with `/` between the parts.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it is code, and not only for tests.
    pub is_code: bool,
}

/// Something a check does not like: the file, the line, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's path.
    pub path: String,
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl File {
    /// A file by path and text, as code.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            is_code: true,
        }
    }

    /// The tokens that are compiled without tests; none when the file is for tests.
    pub fn code(&self) -> Vec<Token> {
        self.code_without(&["test"])
    }

    /// The tokens that are compiled with these options off.
    pub fn code_without(&self, off: &[&str]) -> Vec<Token> {
        if !self.is_code {
            return Vec::new();
        }
        source::without(&source::tokens(&self.text), off).kept
    }

    /// A finding on a line of this file.
    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    /// The path of its module, `["quic", "streams"]` for `quic/streams/mod.rs`.
    pub fn module(&self) -> Vec<&str> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let mut module: Vec<_> = stem.split('/').collect();
        if matches!(module.last(), Some(&"mod" | &"lib")) {
            module.pop();
        }
        module
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file of the core.
pub fn core_files() -> io::Result<Vec<File>> {
    let mut files = rust_files(&repository().join("crates/weftline/src"))?;
    mark_tests(&mut files);
    Ok(files)
}

/// Every `.rs` file below `root`, by path.
fn rust_files(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(root).map_err(io::Error::other)?;
                let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
                files.push(File::new(parts.join("/"), fs::read_to_string(&path)?));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Marks the files that some `#[cfg(test)] mod name;` names, and those below them.
pub fn mark_tests(files: &mut [File]) {
    let mut modules: Vec<String> = Vec::new();
    for file in files.iter() {
        let dropped = source::without(&source::tokens(&file.text), &["test"]).dropped_modules;
        modules.extend(dropped.into_iter().map(|name| {
            let mut path = file.module();
            path.push(&name);
            path.join("/")
        }));
    }
    for file in files {
        let module = file.module().join("/");
        let is_in = |test: &String| {
            module
                .strip_prefix(test.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        file.is_code = !modules.iter().any(is_in);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_told_apart() {
        let mut files = [
            File::new("lib.rs", "mod a; #[cfg(test)] mod b;"),
            File::new("a/mod.rs", "#[cfg(test)] mod tests; fn f() {}"),
            File::new("a/tests.rs", "mod deep;"),
            File::new("a/tests/deep.rs", "fn t() {}"),
            File::new("a/tests_not.rs", "fn f() {}"),
            File::new("b.rs", "fn t() {}"),
        ];
        mark_tests(&mut files);
        let code: Vec<_> = files
            .iter()
            .filter(|f| f.is_code)
            .map(|f| f.path.as_str())
            .collect();
        assert_eq!(code, ["lib.rs", "a/mod.rs", "a/tests_not.rs"]);
        assert!(files[3].code().is_empty() && !files[1].code().is_empty());
        assert_eq!(files[1].module(), ["a"]);
        assert_eq!(files[4].module(), ["a", "tests_not"]);
        assert!(files[0].module().is_empty());
    }
}
