//! TLS secrets in a file, for packet analysers.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustls::KeyLog;

/// Appends a line for each secret, in the format that SSLKEYLOGFILE names (RFC 9850).
pub(crate) struct FileLog(Mutex<File>);

impl FileLog {
    /// Appends to this file. One that was not there is for its owner's eyes only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(|file| Self(Mutex::new(file)))
    }
}

impl KeyLog for FileLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        push_hex(&mut line, client_random);
        line.push(' ');
        push_hex(&mut line, secret);
        line.push('\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A line that cannot be written is missing from a log; the handshake goes on.
        let _ = file.write_all(line.as_bytes());
    }
}

impl fmt::Debug for FileLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLog").finish_non_exhaustive()
    }
}

fn push_hex(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            line.extend(char::from_digit(digit.into(), 16));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;

    #[test]
    fn a_line_for_each_secret_behind_what_is_there() {
        let path = env::temp_dir().join(format!("weftline-keylog-{}", process::id()));
        let _ = fs::remove_file(&path);
        for secret in [[0xab; 2], [0x0c; 2]] {
            let log = FileLog::open(&path).unwrap();
            log.log("CLIENT_TRAFFIC_SECRET_0", &[1, 2], &secret);
        }
        let text = fs::read_to_string(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(
            text,
            "CLIENT_TRAFFIC_SECRET_0 0102 abab\nCLIENT_TRAFFIC_SECRET_0 0102 0c0c\n"
        );
    }
}
