//! Lines on stdout: JSON objects for programs, sentences for people.

use std::io::{self, Write};

use serde_json::{Map, Value};
use weftline_tokio::{ClosedBy, Dialect};

use crate::failure::{Failure, printable};

/// How events are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
}

impl Format {
    pub(crate) const fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// An event as one line: an object that begins with `event`, or the words `text`.
    pub(crate) fn line(self, event: &str, fields: Value, text: &str) -> String {
        match self {
            Self::Json => {
                let mut object = Map::new();
                object.insert("event".into(), event.into());
                if let Value::Object(fields) = fields {
                    object.extend(fields);
                }
                Value::Object(object).to_string()
            }
            Self::Text => printable(text),
        }
    }
}

/// Writes a line to stdout, at once.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| cannot_print(&error))
}

pub(crate) fn cannot_print(error: &io::Error) -> Failure {
    Failure::new(format!("cannot write to stdout: {error}"))
}

/// The number of the draft that names a dialect.
pub(crate) const fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Draft02 => "02",
        Dialect::Draft07 => "07",
        Dialect::Draft13 => "13",
        Dialect::Draft16 => "16",
    }
}

/// Who ended something, in one word.
pub(crate) const fn closer_name(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Local => "local",
        ClosedBy::Peer => "peer",
        ClosedBy::Timeout => "timeout",
        ClosedBy::Reset => "reset",
        ClosedBy::Version => "version",
        ClosedBy::Fault => "fault",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_lines_begin_with_the_event() {
        let line = Format::Json.line("bidi", json!({"text": "a\nb", "a": 1}), "unused");
        assert_eq!(line, r#"{"event":"bidi","text":"a\nb","a":1}"#);
    }

    #[test]
    fn text_lines_are_single_lines() {
        let line = Format::Text.line("bidi", Value::Null, "a\nb");
        assert_eq!(line, "a\\nb");
    }
}
