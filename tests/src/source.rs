//! Rust source as tokens: enough to see names, numbers and text apart from comments, and code that
//! is always compiled apart from code behind a `cfg`.

/// A token and the line it begins on, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub line: usize,
}

/// The kinds of tokens that are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword.
    Word(String),
    /// An integer (or the digits of a float), and whether it was written in hexadecimal.
    Number {
        /// Its value.
        value: u128,
        /// Whether it was written as `0x...`.
        hex: bool,
    },
    /// A string, of any kind, as written between its quotes.
    Text(String),
    /// Anything else, by character. A character literal is a single `'`.
    Mark(char),
}

impl Token {
    /// The identifier, when it is one.
    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether it is this identifier.
    pub fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Whether it is this character.
    pub fn is(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// Cuts source into tokens. Comments, documentation among them, are left out.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: source.chars().collect(),
        at: 0,
        line: 1,
        out: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Vec<Token>,
}

impl Lexer {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.skip_while(|c| c != '\n'),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.text(),
            ('\'', _) => self.quote(),
            (c, _) if c.is_whitespace() => {
                self.next();
            }
            (c, _) if c.is_ascii_digit() => self.number(),
            (c, _) if is_word_char(c) => self.word(),
            (c, _) => {
                self.push(Kind::Mark(c), self.line);
                self.next();
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                ('\0', _) => return,
                _ => {
                    self.next();
                    continue;
                }
            }
            self.next();
            self.next();
            if depth == 0 {
                return;
            }
        }
    }

    /// A word, or the prefix of a string: `b""`, `r#""#` and the like.
    fn word(&mut self) {
        let line = self.line;
        let word = self.take_while(is_word_char);
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        let hashes = (0..).take_while(|&i| self.peek(i) == '#').count();
        if raw && self.peek(hashes) == '"' {
            self.raw_text(hashes);
        } else if matches!(word.as_str(), "b" | "c") && self.peek(0) == '"' {
            self.text();
        } else if word == "b" && self.peek(0) == '\'' {
            self.quote();
        } else {
            self.push(Kind::Word(word), line);
        }
    }

    fn text(&mut self) {
        let line = self.line;
        self.next();
        let mut text = String::new();
        while !matches!(self.peek(0), '"' | '\0') {
            if self.peek(0) == '\\' {
                text.push(self.next());
            }
            text.push(self.next());
        }
        self.next();
        self.push(Kind::Text(text), line);
    }

    fn raw_text(&mut self, hashes: usize) {
        let line = self.line;
        self.skip(1 + hashes);
        let mut text = String::new();
        let ends =
            |lexer: &Self| lexer.peek(0) == '"' && (1..=hashes).all(|i| lexer.peek(i) == '#');
        while !ends(self) && self.peek(0) != '\0' {
            text.push(self.next());
        }
        self.skip(1 + hashes);
        self.push(Kind::Text(text), line);
    }

    /// A character literal, or a lifetime (of which nothing is kept).
    fn quote(&mut self) {
        let line = self.line;
        self.next();
        let is_char = self.peek(0) == '\\' || self.peek(1) == '\'';
        if !is_char {
            return self.skip_while(is_word_char);
        }
        if self.next() == '\\' {
            self.next();
        }
        self.skip_while(|c| c != '\'');
        self.next();
        self.push(Kind::Mark('\''), line);
    }

    fn number(&mut self) {
        let line = self.line;
        let text = self.take_while(is_word_char).replace('_', "");
        let (radix, digits) = match text.get(..2) {
            Some("0x") => (16, &text[2..]),
            Some("0o") => (8, &text[2..]),
            Some("0b") => (2, &text[2..]),
            _ => (10, text.as_str()),
        };
        let end = digits.find(|c: char| !c.is_digit(radix));
        let value = u128::from_str_radix(&digits[..end.unwrap_or(digits.len())], radix);
        let kind = Kind::Number {
            value: value.unwrap_or(u128::MAX),
            hex: radix == 16,
        };
        self.push(kind, line);
    }

    fn push(&mut self, kind: Kind, line: usize) {
        self.out.push(Token { kind, line });
    }

    /// The character `ahead` of the current one, or NUL past the end.
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn next(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        self.take_while(wanted);
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while self.at < self.chars.len() && wanted(self.peek(0)) {
            taken.push(self.next());
        }
        taken
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Source with the items taken out that some `cfg` leaves out.
#[derive(Debug, Default)]
pub struct Split {
    /// What is compiled.
    pub kept: Vec<Token>,
    /// The modules in other files (`mod name;`) that are not.
    pub dropped_modules: Vec<String>,
}

/// Takes out the items whose `#[cfg(...)]` cannot hold when these options are off: `test`, or the
/// name of a feature.
pub fn without(tokens: &[Token], off: &[&str]) -> Split {
    let mut split = Split::default();
    let mut at = 0;
    while at < tokens.len() {
        let Some(attribute) = attribute_len(&tokens[at..]) else {
            split.kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let (head, rest) = tokens[at..].split_at(attribute);
        if may_hold(head, off) {
            split.kept.extend_from_slice(head);
            at += attribute;
            continue;
        }
        let item = item_len(rest);
        if let [.., module, name, end] = &rest[..item]
            && module.is_word("mod")
            && end.is(';')
        {
            split.dropped_modules.extend(name.word().map(str::to_owned));
        }
        at += attribute + item;
    }
    split
}

/// The length of the outer attribute that begins here, if one does.
fn attribute_len(tokens: &[Token]) -> Option<usize> {
    (tokens.first()?.is('#') && tokens.get(1)?.is('[')).then(|| 1 + group_len(&tokens[1..]))
}

/// The length of the group whose opening bracket is the first token.
fn group_len(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Mark('(' | '[' | '{') => depth += 1,
            Kind::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The length of the item, statement, field or variant that begins here, with its attributes.
fn item_len(tokens: &[Token]) -> usize {
    let mut at = 0;
    while let Some(attribute) = attribute_len(&tokens[at..]) {
        at += attribute;
    }
    // What the item ends with follows from the keyword it begins with.
    let is_visibility = |t: &Token| t.is_word("pub") || t.is('(') || t.is_word("crate");
    let keyword = tokens[at..]
        .iter()
        .find(|t| !is_visibility(t) && !t.is_word("super") && !t.is(')'))
        .and_then(Token::word)
        .unwrap_or("");
    let to_semicolon = matches!(keyword, "use" | "static" | "let" | "type")
        || keyword == "const" && !tokens[at..].iter().take(8).any(|t| t.is_word("fn"));
    let is_item = matches!(
        keyword,
        "fn" | "mod"
            | "struct"
            | "enum"
            | "union"
            | "trait"
            | "impl"
            | "extern"
            | "const"
            | "async"
            | "unsafe"
            | "macro_rules"
    );
    while let Some(token) = tokens.get(at) {
        match token.kind {
            Kind::Mark(';') => return at + 1,
            Kind::Mark(',') if !to_semicolon && !is_item => return at + 1,
            // The end of what the item is in.
            Kind::Mark(')' | ']' | '}') => return at,
            Kind::Mark('{') if !to_semicolon => return at + group_len(&tokens[at..]),
            Kind::Mark('(' | '[' | '{') => at += group_len(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// Whether an attribute lets its item in when these options are off. One that is no `cfg` does.
fn may_hold(attribute: &[Token], off: &[&str]) -> bool {
    match attribute {
        [_, _, cfg, open, predicate @ .., _, _] if cfg.is_word("cfg") && open.is('(') => {
            predicate_may_hold(predicate, off)
        }
        _ => true,
    }
}

fn predicate_may_hold(predicate: &[Token], off: &[&str]) -> bool {
    let parts = |list: &[Token]| -> Vec<bool> {
        split_at_commas(list)
            .into_iter()
            .map(|part| predicate_may_hold(part, off))
            .collect()
    };
    match predicate {
        [name, open, list @ .., close] if open.is('(') && close.is(')') => match name.word() {
            Some("all") => parts(list).into_iter().all(|holds| holds),
            Some("any") => parts(list).into_iter().any(|holds| holds),
            _ => true,
        },
        [name] => !name.word().is_some_and(|name| off.contains(&name)),
        [
            name,
            _,
            Token {
                kind: Kind::Text(text),
                ..
            },
        ] if name.is_word("feature") => !off.contains(&text.as_str()),
        _ => true,
    }
}

fn split_at_commas(list: &[Token]) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < list.len() {
        match list[at].kind {
            Kind::Mark('(') => at += group_len(&list[at..]),
            Kind::Mark(',') => {
                parts.push(&list[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    if start < list.len() {
        parts.push(&list[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().filter_map(Token::word).collect()
    }

    #[test]
    fn comments_and_text_are_no_words() {
        let source = r##"
            //! crate::doc
            /* a /* nested */ comment */
            let s = "a // string \" and"; // end
            let r = r#"raw " too"#; let b = b"bytes"; let c = '"'; let q = '\''; fn f<'a>() {}
        "##;
        let tokens = tokens(source);
        let expected = [
            "let", "s", "let", "r", "let", "b", "let", "c", "let", "q", "fn", "f",
        ];
        assert_eq!(words(&tokens), expected);
        let texts: Vec<_> = tokens
            .iter()
            .filter_map(|t| match &t.kind {
                Kind::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, [r#"a // string \" and"#, r#"raw " too"#, "bytes"]);
        assert_eq!(tokens[0].line, 4);
        assert_eq!(tokens.last().map(|t| t.line), Some(5));
    }

    #[test]
    fn numbers_have_values() {
        let kinds: Vec<_> = tokens("0x2B60_3742u64 10_307 0b11 0o17 1.5 7usize")
            .into_iter()
            .filter_map(|t| match t.kind {
                Kind::Number { value, hex } => Some((value, hex)),
                _ => None,
            })
            .collect();
        let expected = [
            (0x2b60_3742, true),
            (10_307, false),
            (3, false),
            (15, false),
            (1, false),
            (5, false),
            (7, false),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn items_behind_cfg() {
        let source = r#"
            #[cfg(test)] use a::{b, c};
            use keep1;
            #[cfg(test)] #[allow(x)] pub(crate) mod helpers;
            #[cfg(all(test, feature = "x"))] fn gone<A, B>(a: [u8; 2]) { if x {} }
            #[cfg(any(test, feature = "x"))] fn keep2() {}
            #[cfg(not(test))] fn keep3() {}
            struct Keep4 { #[cfg(test)] gone: u8, keep5: u8 }
            #[cfg(test)] const GONE: [X; 1] = [X { gone }];
            fn keep6() { #[cfg(test)] let gone = { 1 }; keep7(); }
            #[cfg(test)] mod tests { mod inner { fn gone() {} } }
            #[derive(Debug)] struct Keep8;
        "#;
        let split = without(&tokens(source), &["test"]);
        let kept = words(&split.kept);
        for n in 1..=8 {
            let found = kept
                .iter()
                .any(|word| word.to_lowercase() == format!("keep{n}"));
            assert!(found, "keep{n} was dropped");
        }
        assert!(!kept.contains(&"gone") && !kept.contains(&"GONE") && !kept.contains(&"a"));
        assert_eq!(split.dropped_modules, ["helpers"]);
        assert!(!kept.contains(&"inner"));

        // With the feature off as well, nothing of `any(test, feature)` remains.
        let split = without(&tokens(source), &["test", "x"]);
        assert!(!words(&split.kept).contains(&"keep2"));
    }
}
