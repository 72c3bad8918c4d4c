//! Every bound in `Limits` is crossed by some test.

use std::collections::BTreeSet;

use crate::source::Token;

/// The fields of `pub struct Limits`, in the tokens of its file.
pub fn fields(code: &[Token]) -> Vec<String> {
    let is_start = |w: &[Token]| w[0].is_word("struct") && w[1].is_word("Limits") && w[2].is('{');
    let Some(start) = code.windows(3).position(is_start) else {
        return Vec::new();
    };
    let body = code[start + 3..].iter().take_while(|t| !t.is('}'));
    let body: Vec<_> = body.collect();
    let public = body
        .windows(3)
        .filter(|w| w[0].is_word("pub") && w[2].is(':'));
    public
        .filter_map(|w| w[1].word().map(str::to_owned))
        .collect()
}

/// The fields that tests set or read: `limits.name`, or `name:` in a `Limits { ... }`.
pub fn named(test_code: &[Token]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut literal = None;
    let mut depth = 0;
    for (at, token) in test_code.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).map(|i| &test_code[i]);
        if token.is('{') {
            depth += 1;
            if literal.is_none() && before(1).is_some_and(|t| t.is_word("Limits")) {
                literal = Some(depth);
            }
        } else if token.is('}') {
            if literal == Some(depth) {
                literal = None;
            }
            depth -= 1;
        }
        let Some(word) = token.word() else { continue };
        let is_field = before(1).is_some_and(|t| t.is('.'))
            && before(2)
                .and_then(Token::word)
                .is_some_and(|of| of == "l" || of.ends_with("limits"));
        let next_is = |mark| test_code.get(at + 1).is_some_and(|t| t.is(mark));
        let begins = before(1).is_some_and(|t| t.is('{') || t.is(','));
        let in_literal = literal == Some(depth) && begins && (next_is(':') || next_is(','));
        if is_field || in_literal {
            names.insert(word.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    #[test]
    fn fields_of_the_struct() {
        let code = "pub struct Other { pub z: u8 } /// All.\npub struct Limits { /// Doc: x\n pub a: usize,\n\
                    pub b: Duration, } impl Default for Limits { fn default() -> Self { Self { c: 1 } } }";
        assert_eq!(fields(&tokens(code)), ["a", "b"]);
    }

    #[test]
    fn uses_in_tests() {
        let code = "fn t() { limits.a = 1; let x = Limits { b: 2, c, ..Limits::default() };\
                    let s = Settings { d: 1 }; peer.e = 2; config(|l| l.f = 3); server_limits.g; h(i); }";
        let named: Vec<_> = named(&tokens(code)).into_iter().collect();
        assert_eq!(named, ["a", "b", "c", "f", "g"]);
    }
}
