//! A file for each connection.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use weftline::{
    Instant, Side,
    probe::{Probe, ProbeEvent, ProbeFactory, Subject},
};

use crate::event;

/// Writes a qlog file for each connection into a directory.
///
/// A file is named by the destination connection ID of the client's first packet, which both ends
/// know, and the side: `0123456789abcdef_client.sqlog`. What cannot be written is missing from the
/// logs, and never hurts a connection: ask [`Qlog::take_error`]. Nothing bounds how much is written,
/// so this is not for servers that anybody may connect to for long.
#[derive(Debug)]
pub struct Qlog {
    dir: PathBuf,
    error: Arc<Mutex<Option<io::Error>>>,
}

impl Qlog {
    /// Logs into this directory, which is created if it is not there.
    pub fn in_dir(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            error: Arc::default(),
        })
    }

    /// The first error of writing since this was last asked. The file it happened to is given up.
    pub fn take_error(&self) -> Option<io::Error> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.take()
    }

    fn begin(&self, subject: &Subject) -> io::Result<Log> {
        let file = create(&self.dir, subject)?;
        let mut log = Log {
            out: Some(BufWriter::with_capacity(BUFFER, file)),
            start: subject.now,
            flushed: subject.now,
            events: event::Events::new(subject),
            error: self.error.clone(),
        };
        log.write(&header(subject))?;
        let started = log.events.started(subject);
        log.event(subject.now, started.0, started.1)?;
        Ok(log)
    }
}

impl ProbeFactory for Qlog {
    fn probe(&self, subject: &Subject) -> Option<Box<dyn Probe>> {
        match self.begin(subject) {
            Ok(log) => Some(Box::new(log)),
            Err(error) => {
                keep_first(&self.error, error);
                None
            }
        }
    }
}

/// The log of one connection.
struct Log {
    /// `None` once writing failed.
    out: Option<BufWriter<File>>,
    start: Instant,
    flushed: Instant,
    events: event::Events,
    error: Arc<Mutex<Option<io::Error>>>,
}

impl Probe for Log {
    fn on_event(&mut self, now: Instant, event: &ProbeEvent<'_>) {
        if self.out.is_none() {
            return;
        }
        let is_state = matches!(event, ProbeEvent::State(_) | ProbeEvent::Closed(_));
        let result = match self.events.of(event) {
            Some((name, data)) => self.event(now, name, data),
            None => Ok(()),
        };
        // A process may end without a word: what it was told last should be there.
        let result = match is_state || now.saturating_since(self.flushed).as_millis() >= FLUSH_MS {
            true => result.and_then(|()| self.flush(now)),
            false => result,
        };
        if let Err(error) = result {
            self.out = None;
            keep_first(&self.error, error);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(out) = &mut self.out
            && let Err(error) = out.flush()
        {
            keep_first(&self.error, error);
        }
    }
}

impl Log {
    fn event(&mut self, now: Instant, name: &str, data: Value) -> io::Result<()> {
        let time = event::millis(now.saturating_since(self.start));
        self.write(&json!({ "time": time, "name": name, "data": data }))
    }

    /// One record of RFC 7464.
    fn write(&mut self, record: &Value) -> io::Result<()> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        out.write_all(&[RECORD_SEPARATOR])?;
        serde_json::to_writer(&mut *out, record)?;
        out.write_all(b"\n")
    }

    fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.flushed = now;
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn header(subject: &Subject) -> Value {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let side = event::side(subject.side);
    json!({
        "qlog_version": "0.3",
        "qlog_format": "JSON-SEQ",
        "title": format!("{} {side}", subject.original_cid),
        "trace": {
            "vantage_point": { "name": "weftline", "type": side },
            "common_fields": {
                "ODCID": subject.original_cid.to_string(),
                "group_id": subject.original_cid.to_string(),
                "protocol_type": ["QUIC", "HTTP3"],
                "time_format": "relative",
                "reference_time": event::millis(epoch.unwrap_or_default()),
            },
        },
    })
}

/// A new file; peers choose the names, and may choose the same ones.
fn create(dir: &Path, subject: &Subject) -> io::Result<File> {
    let name = match subject.side {
        Side::Client => format!("{}_client", subject.original_cid),
        Side::Server => format!("{}_server", subject.original_cid),
    };
    let mut result = File::create_new(dir.join(format!("{name}.sqlog")));
    for again in 2..=NAMES {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                result = File::create_new(dir.join(format!("{name}-{again}.sqlog")));
            }
            _ => break,
        }
    }
    result
}

fn keep_first(slot: &Mutex<Option<io::Error>>, error: io::Error) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.get_or_insert(error);
}

/// What begins a record (RFC 7464, section 2.2).
pub(crate) const RECORD_SEPARATOR: u8 = 0x1e;

const BUFFER: usize = 64 << 10;

/// How old what is not written out may become before the next event writes it out.
const FLUSH_MS: u128 = 1000;

/// Connections of one name that are logged.
const NAMES: usize = 100;

#[cfg(test)]
mod tests;
