//! What came out: on the terminal, and as the table of docs/interop.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    fs,
    path::Path,
};

use crate::{
    cases::{self, Case},
    run::{OURS, Outcome},
};

/// One case between two.
pub(crate) struct Row {
    case: &'static Case,
    client: String,
    server: String,
    outcome: Outcome,
}

/// What is known about cases that do not pass: lines of a case, a client, a server and why. A `*`
/// stands for any.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<[String; 4]>);

impl Row {
    pub(crate) fn new(case: &'static Case, client: &str, server: &str, outcome: Outcome) -> Self {
        Self {
            case,
            client: client.into(),
            server: server.into(),
            outcome,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = format!("{} -> {}", self.client, self.server);
        let (word, why) = match &self.outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Unsupported(why) => ("-", why.as_str()),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
        };
        write!(f, "{word:6} {:20} {pair:20} {why}", self.case.name)
    }
}

impl Notes {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(note).collect::<Result<_, _>>().map(Self)
    }

    fn of(&self, row: &Row) -> Option<&str> {
        let fits = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        let note = self.0.iter().find(|[case, client, server, _]| {
            fits(case, row.case.name) && fits(client, &row.client) && fits(server, &row.server)
        });
        note.map(|[.., why]| why.as_str())
    }
}

fn note(line: &str) -> Result<[String; 4], String> {
    let mut words = line
        .splitn(4, char::is_whitespace)
        .map(|word| word.trim().to_owned());
    let mut word = || {
        words
            .next()
            .ok_or_else(|| format!("the note {line:?} has too few words"))
    };
    Ok([word()?, word()?, word()?, word()?])
}

/// Says how many passed, and whether every failure is known.
pub(crate) fn print(rows: &[Row], notes: &Notes) -> bool {
    let (mut passed, mut unsupported, mut known) = (0, 0, 0);
    let mut failed = Vec::new();
    for row in rows {
        match row.outcome {
            Outcome::Passed => passed += 1,
            Outcome::Unsupported(_) => unsupported += 1,
            Outcome::Failed(_) if notes.of(row).is_some() => known += 1,
            Outcome::Failed(_) => failed.push(row),
        }
    }
    for row in &failed {
        println!("{row}");
    }
    println!(
        "{passed} passed, {unsupported} not supported, {known} known failures, {} failed",
        failed.len()
    );
    failed.is_empty()
}

/// Writes the table between the marks in the file.
pub(crate) fn write(path: &Path, rows: &[Row], notes: &Notes) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(broken)?;
    let parts = text.split_once(BEGIN).zip(text.split_once(END));
    let ((before, _), (_, after)) =
        parts.ok_or_else(|| format!("{} has no place for the table", path.display()))?;
    let table = table(rows, notes);
    let text = format!("{before}{BEGIN}\n{table}{END}{after}");
    fs::write(path, text).map_err(broken)
}

fn table(rows: &[Row], notes: &Notes) -> String {
    let mut cells: BTreeMap<(&str, &str, &str), &Row> = BTreeMap::new();
    let mut others = BTreeSet::new();
    for row in rows {
        cells.insert((row.case.name, &row.client, &row.server), row);
        others.extend([row.client.as_str(), row.server.as_str()]);
    }
    others.remove(OURS);
    let mut columns = vec![(OURS, OURS)];
    columns.extend(
        others
            .iter()
            .flat_map(|other| [(OURS, *other), (*other, OURS)]),
    );
    let mut remarks: Vec<String> = Vec::new();
    let mut out = String::from("\n");
    for case in &cases::ALL {
        let _ = writeln!(out, "- **{}**: {}.", case.name, case.about);
    }
    out += "\n| Client → server |";
    for (client, server) in &columns {
        let _ = write!(out, " {client} → {server} |");
    }
    out += "\n|---|";
    out += &":-:|".repeat(columns.len());
    for case in &cases::ALL {
        let _ = write!(out, "\n| {} |", case.name);
        for (client, server) in &columns {
            let cell = match cells.get(&(case.name, *client, *server)) {
                Some(row) => cell(row, notes, &mut remarks),
                None => " ".into(),
            };
            let _ = write!(out, " {cell} |");
        }
    }
    out += "\n\n";
    for (number, remark) in remarks.iter().enumerate() {
        let _ = writeln!(out, "{}. {remark}", number + 1);
    }
    out += "\n";
    out
}

/// What stands in a cell, with the number of its remark.
fn cell(row: &Row, notes: &Notes, remarks: &mut Vec<String>) -> String {
    let (word, why) = match &row.outcome {
        Outcome::Passed => return "pass".into(),
        Outcome::Unsupported(why) => {
            let (role, why) = why.split_once(": ").unwrap_or(("", why));
            let name = match role {
                "client" => &row.client,
                _ => &row.server,
            };
            ("–", format!("Not by {name} as a {role}: {why}."))
        }
        Outcome::Failed(why) => match notes.of(row) {
            Some(note) => ("fail", note.to_owned()),
            None => (
                "**fail**",
                format!("{}, not yet explained: {why}", row.case.name),
            ),
        },
    };
    let known = remarks.iter().position(|remark| *remark == why);
    let number = known.unwrap_or_else(|| {
        remarks.push(why);
        remarks.len() - 1
    });
    format!("{word} ({})", number + 1)
}

const BEGIN: &str = "<!-- table: cargo xtask interop -->";
const END: &str = "<!-- end of table -->";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: usize, client: &str, server: &str, outcome: Outcome) -> Row {
        Row::new(&cases::ALL[case], client, server, outcome)
    }

    #[test]
    fn notes_explain_failures() {
        let notes = Notes(vec![note("handshake  * quinn  Because.").unwrap()]);
        let failed = || Outcome::Failed("it broke".into());
        let known = row(0, "weftline", "quinn", failed());
        assert_eq!(notes.of(&known), Some("Because."));
        assert!(print(&[known], &notes));
        assert!(!print(&[row(0, "quinn", "weftline", failed())], &notes));
        assert!(note("too few words").is_err());
    }

    #[test]
    fn the_table_has_every_case_and_each_remark_once() {
        let unsupported = || Outcome::Unsupported("client: no such thing".into());
        let rows = [
            row(0, "weftline", "weftline", Outcome::Passed),
            row(0, "quinn", "weftline", unsupported()),
            row(1, "quinn", "weftline", unsupported()),
        ];
        let table = table(&rows, &Notes::default());
        assert!(
            table.contains("| handshake | pass |   | – (1) |"),
            "{table}"
        );
        assert!(table.contains("| transfer |   |   | – (1) |"), "{table}");
        assert!(
            table.contains("1. Not by quinn as a client: no such thing."),
            "{table}"
        );
        for case in &cases::ALL {
            assert!(table.contains(&format!("| {} |", case.name)));
        }
    }
}
