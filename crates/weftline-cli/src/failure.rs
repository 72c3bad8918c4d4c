//! What stopped a command, as one line.

use std::fmt;

/// What failed and at which step, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    advice: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: None,
        }
    }

    /// Adds what the user can do.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.what))?;
        match &self.advice {
            Some(advice) => write!(f, "; {}", printable(advice)),
            None => Ok(()),
        }
    }
}

/// `text` fit for one line of a terminal: a peer may have put anything in it.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || BREAKS_AND_OVERRIDES.contains(&c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Line and paragraph separators, and marks that change the direction of text around them.
const BREAKS_AND_OVERRIDES: [char; 11] = [
    '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_whatever_a_peer_says() {
        let failure = Failure::new("closed: \"a\nb\x1b[2J\u{202e}\"").advice("try\r\nagain");
        let line = failure.to_string();
        assert_eq!(line, "closed: \"a\\nb\\u{1b}[2J\\u{202e}\"; try\\r\\nagain");
    }

    #[test]
    fn ordinary_text_stays() {
        assert_eq!(printable("Grüße, 世界 \u{1F44B}"), "Grüße, 世界 \u{1F44B}");
    }
}
