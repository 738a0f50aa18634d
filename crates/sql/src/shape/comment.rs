//! Whether a text has a comment: PostgreSQL's lexical rules, as far as they decide it.
//!
//! What is here: literals, quoted names, dollar quotes and identifiers, inside which nothing is a
//! comment. What is not: tokens. The text is one that the parser accepts, with
//! `standard_conforming_strings` on, so no literal is left open.

/// A place in the text.
struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

/// Whether `text` has `--` or `/*` outside literals and quoted names.
pub(crate) fn has_comment(text: &str) -> bool {
    // Most texts have neither, and long literals are passed at once.
    if !text.contains("--") && !text.contains("/*") {
        return false;
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    while let Some(byte) = scanner.peek(0) {
        match byte {
            b'-' if scanner.peek(1) == Some(b'-') => return true,
            b'/' if scanner.peek(1) == Some(b'*') => return true,
            b'\'' => scanner.quoted(b'\''),
            b'"' => scanner.quoted(b'"'),
            b'e' | b'E' if scanner.peek(1) == Some(b'\'') => scanner.escaped(),
            b'$' => scanner.dollar(),
            _ if starts_name(byte) => scanner.name(),
            _ => scanner.at += 1,
        }
    }
    false
}

const fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at.saturating_add(ahead)).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// A name, or a prefix such as `U&`, `B`, `X`, `N`, whose literal has no escapes either.
    fn name(&mut self) {
        self.skip_while(continues_name);
    }

    /// To the closing quote; a doubled one is two literals in a row for us.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        self.skip_while(|byte| byte != quote);
        self.at += 1;
    }

    /// `E'…'`, which goes on behind white space with a line break.
    fn escaped(&mut self) {
        self.at += 2;
        loop {
            match self.peek(0) {
                None => return,
                Some(b'\\') => self.at += 2,
                Some(b'\'') if self.peek(1) == Some(b'\'') => self.at += 2,
                Some(b'\'') => {
                    self.at += 1;
                    let end = self.at;
                    self.skip_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
                    let between = self.bytes.get(end..self.at).unwrap_or_default();
                    let goes_on = between.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
                        && self.peek(0) == Some(b'\'');
                    if !goes_on {
                        return;
                    }
                    self.at += 1;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// `$tag$ … $tag$`, or a parameter.
    fn dollar(&mut self) {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(starts_name) {
            self.skip_while(|byte| continues_name(byte) && byte != b'$');
        }
        if self.peek(0) != Some(b'$') {
            return;
        }
        self.at += 1;
        let tag = self.bytes.get(start..self.at).unwrap_or_default();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.windows(tag.len()).position(|window| window == tag);
        self.at += end.map_or(rest.len(), |end| end.saturating_add(tag.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn comments_are_found_and_their_like_in_literals_are_not() {
        for text in [
            "SELECT 1 -- x",
            "/* x */ SELECT 1",
            "SELECT 1/**/+1",
            "SELECT 'it''s' --",
            "SELECT E'a\\'b' -- x",
            "SELECT E'a'\n'\\'' -- x",
            "SELECT $a$'$a$ -- x",
            "SELECT \"a\"\"b\" --",
            "SELECT a$b --$b",
            "SELECT 1--2",
            "SELECT e --'",
            "SELECT U&'d\\0061' -- x",
            "SELECT '\\' -- '",
            "SELECT $1 -- $1",
        ] {
            assert!(parse::parse(text).is_ok(), "{text}");
            assert!(has_comment(text), "{text}");
        }
        for text in [
            "SELECT '--'",
            "SELECT '/*x*/'",
            "SELECT 'it''s --'",
            "SELECT E'\\'--'",
            "SELECT E'a'\n'\\'--'",
            "SELECT E'a' \r\t '''--'",
            "SELECT $$--$$",
            "SELECT $a$ $$ -- $b$ /* $a$",
            "SELECT \"--\"",
            "SELECT 1 - -1",
            "SELECT 2 / (3 * 4)",
            "SELECT '\\' || '--'",
            "SELECT U&\"--\"",
            "SELECT N'--', B'1', X'1F'",
            "SELECT $1 - $2",
            "",
        ] {
            assert!(parse::parse(text).is_ok(), "{text}");
            assert!(!has_comment(text), "{text}");
        }
    }
}
