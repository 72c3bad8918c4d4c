//! Reading qlog files.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use crate::file::RECORD_SEPARATOR;

/// Reads a qlog file in JSON text sequences, record by record. It reads the logs of others, too.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Value,
    records: u64,
    truncated: bool,
}

/// An event of a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// When, in milliseconds since the time the header gives.
    pub time: f64,
    /// Its name, with the category before a colon.
    pub name: String,
    /// What it says.
    pub data: Value,
}

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system does not give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a qlog file in JSON text sequences: {0}")]
    NotQlog(&'static str),
    /// A record in it is not one.
    #[error("record {number}: {reason}")]
    BadRecord {
        /// Which, the header being the first.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let first = match input.fill_buf()? {
            [] => return Err(ReadError::NotQlog("it is empty")),
            [first, ..] => *first,
        };
        if first != RECORD_SEPARATOR {
            return Err(ReadError::NotQlog("it does not begin with a record"));
        }
        let mut reader = Self {
            input,
            header: Value::Null,
            records: 0,
            truncated: false,
        };
        let header = reader.next_value()?;
        let header = header.ok_or(ReadError::NotQlog("the header is cut off"))?;
        if header.get("qlog_version").is_none() && header.get("file_schema").is_none() {
            return Err(ReadError::NotQlog("the header names no version"));
        }
        if !header.get("trace").is_some_and(Value::is_object) {
            return Err(ReadError::NotQlog("the header has no trace"));
        }
        reader.header = header;
        Ok(reader)
    }

    /// What the file says of itself.
    pub const fn header(&self) -> &Value {
        &self.header
    }

    /// The next event; `None` at the end, or at a last record that was cut off.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        let Some(mut value) = self.next_value()? else {
            return Ok(None);
        };
        let time = value.get("time").and_then(Value::as_f64);
        let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
        let (Some(time), Some(name)) = (time, name) else {
            return Err(self.bad("an event without time and name"));
        };
        let data = value.get_mut("data").map(Value::take).unwrap_or_default();
        Ok(Some(Record { time, name, data }))
    }

    /// Whether the last record was cut off: whoever wrote the file was interrupted.
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    fn next_value(&mut self) -> Result<Option<Value>, ReadError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = (&mut self.input).take(RECORD_MAX);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let text = line.strip_prefix(&[RECORD_SEPARATOR]).unwrap_or(&line);
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            self.records += 1;
            if line.len() as u64 == RECORD_MAX {
                return Err(self.bad("it is too long"));
            }
            return match serde_json::from_slice(text) {
                Ok(value) => Ok(Some(value)),
                // RFC 7464, section 2.4: what is not ended by a line feed may be a part only.
                Err(_) if line.last() != Some(&b'\n') => {
                    self.truncated = true;
                    Ok(None)
                }
                Err(error) => Err(self.bad(&error.to_string())),
            };
        }
    }

    fn bad(&self, reason: &str) -> ReadError {
        ReadError::BadRecord {
            number: self.records,
            reason: reason.to_owned(),
        }
    }
}

/// Longest record that is read.
const RECORD_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\x1e{\"qlog_version\":\"0.3\",\"trace\":{}}\n";

    fn read(text: &str) -> Result<(Vec<Record>, bool), ReadError> {
        let mut reader = Reader::new(text.as_bytes())?;
        let mut records = Vec::new();
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok((records, reader.is_truncated()))
    }

    #[test]
    fn records_one_by_one() {
        let text = format!(
            "{HEADER}\x1e{{\"time\":1.5,\"name\":\"a:b\",\"data\":{{\"c\":1}}}}\n\
             \n\x1e{{\"time\":2,\"name\":\"d:e\"}}\n"
        );
        let (records, truncated) = read(&text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].time, 1.5);
        assert_eq!(records[0].data["c"], 1);
        assert_eq!(
            (records[1].name.as_str(), &records[1].data),
            ("d:e", &Value::Null)
        );
        assert!(!truncated);
    }

    #[test]
    fn a_record_cut_off_at_the_end_is_left_out() {
        let text = format!("{HEADER}\x1e{{\"time\":1,\"name\":\"a:b\"}}\n\x1e{{\"time\":2,\"na");
        let (records, truncated) = read(&text).unwrap();
        assert_eq!((records.len(), truncated), (1, true));
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for text in [
            "",
            "{\"qlog_version\":\"0.3\"}",
            "\x1e{\"qlog_ver",
            "\x1e{}\n",
            "\x1e[1]\n",
            "\x1e{\"qlog_version\":\"0.3\"}\n",
        ] {
            assert!(
                matches!(Reader::new(text.as_bytes()), Err(ReadError::NotQlog(_))),
                "{text:?}"
            );
        }
        let bad = [
            format!("{HEADER}\x1e{{\"time\":\"soon\",\"name\":\"a\"}}\n"),
            format!("{HEADER}\x1ejunk\n"),
        ];
        for text in bad {
            let error = read(&text).unwrap_err();
            assert!(
                matches!(error, ReadError::BadRecord { number: 2, .. }),
                "{error}"
            );
        }
    }
}
