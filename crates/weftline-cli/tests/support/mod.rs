//! Runs the command, always bounded in time.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs the command to its end with this on stdin.
pub(crate) fn weftline_with(args: &[&str], stdin: Vec<u8>) -> Finished {
    let mut child = spawn(args);
    let mut input = child.stdin.take().unwrap();
    // The command may end before it has read everything.
    thread::spawn(move || drop(input.write_all(&stdin)));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let status = wait(&mut child);
    Finished {
        code: status.code(),
        stdout: stdout.recv().unwrap(),
        stderr: String::from_utf8(stderr.recv().unwrap()).unwrap(),
    }
}

/// Runs the command to its end with nothing on stdin.
pub(crate) fn weftline(args: &[&str]) -> Finished {
    weftline_with(args, Vec::new())
}

impl Finished {
    /// The JSON objects on stdout of a command that succeeded.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{self:?}");
        let text = str::from_utf8(&self.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one line on stderr of a command that failed.
    pub(crate) fn failure(&self) -> &str {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{line}");
        line.strip_prefix("weftline: ").unwrap()
    }
}

pub(crate) fn spawn(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_weftline"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end; a command that takes too long is killed and fails the test.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the command did not end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a command that was spawned and says little.
pub(crate) fn finished(mut child: Child) -> Finished {
    let status = wait(&mut child);
    let output = child.wait_with_output().unwrap();
    Finished {
        code: status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (done, result) = channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = done.send(all);
    });
    result
}

/// `weftline serve --json` on ports of its own.
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Value,
    lines: Receiver<Value>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let all = [&["serve", "--json", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = spawn(&all);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let Ok(ready) = lines.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the server was not ready: {:?}", child.wait_with_output());
        };
        Self {
            child,
            ready,
            lines,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ready["url"].as_str().unwrap())
    }

    pub(crate) fn hash(&self) -> &str {
        self.ready["cert_sha256"].as_str().unwrap()
    }

    /// Runs a client command against a path of the server.
    pub(crate) fn client(&self, command: &str, path: &str, args: &[&str]) -> Finished {
        self.client_with(command, path, args, Vec::new())
    }

    pub(crate) fn client_with(
        &self,
        command: &str,
        path: &str,
        args: &[&str],
        stdin: Vec<u8>,
    ) -> Finished {
        let url = self.url(path);
        let all = [&[command, &url, "--cert-hash", self.hash()], args].concat();
        weftline_with(&all, stdin)
    }

    /// Starts a client command whose stdin stays open.
    pub(crate) fn client_in_background(&self, path: &str) -> Child {
        spawn(&["connect", &self.url(path), "--cert-hash", self.hash()])
    }

    /// The next event of this kind.
    pub(crate) fn event(&self, event: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect(event);
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Sends a signal: `INT` or `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn wait(&mut self) -> Option<i32> {
        wait(&mut self.child).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone where the test has waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of this test's own, removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weftline-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The bytes that the server makes up.
pub(crate) fn pattern(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + seed + (i >> 8)) as u8).collect()
}

/// Far longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
