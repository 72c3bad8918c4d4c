//! What the server says on stdout. A reader that does not keep up never holds up the server.

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use serde_json::Value;

use crate::output::{Format, print};

/// Lines on their way to stdout, in order.
pub(super) struct Log {
    format: Format,
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
}

impl Log {
    pub(super) fn start(format: Format) -> Self {
        let (lines, received) = sync_channel::<String>(WAITING);
        let thread = thread::spawn(move || {
            // Without a reader there is nothing to log for.
            while let Ok(line) = received.recv() {
                if print(&line).is_err() {
                    return;
                }
            }
        });
        Self {
            format,
            writer: Mutex::new(Some(Writer { lines, thread })),
        }
    }

    /// An event for programs (`event` and `fields`) or people (`text`). Dropped when many wait.
    pub(super) fn event(&self, event: &str, fields: Value, text: &str) {
        let line = self.format.line(event, fields, text);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*writer {
            match writer.lines.try_send(line) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Waits until everything is written, unless the reader does not read.
    pub(super) fn finish(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Writer { lines, thread }) = writer.take() else {
            return;
        };
        drop(lines);
        for _ in 0..FINISH_TRIES {
            if thread.is_finished() {
                return;
            }
            thread::sleep(FINISH_PAUSE);
        }
    }
}

/// Lines that wait for the reader.
const WAITING: usize = 1024;

const FINISH_TRIES: u32 = 50;
const FINISH_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
