//! PostgreSQL's lexical rules, as far as anything here reads a text beside its tree.
//!
//! What is here: literals, quoted names, dollar quotes, comments and identifiers, and where each ends. What
//! is not: operators and numbers. The text is one that the parser accepts, with
//! `standard_conforming_strings` on, so no literal is left open (PostgreSQL documentation, "Lexical Structure").

use std::ops::Range;

use crate::limits::MAX_OPERATOR_BYTES;

/// A place in the text.
#[derive(Debug)]
pub(crate) struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

/// Whether `text` has `--` or `/*` outside literals and quoted names.
pub(crate) fn has_comment(text: &str) -> bool {
    // Most texts have neither.
    (text.contains("--") || text.contains("/*"))
        && Scanner::from(text, 0).any(|(token, _)| token == Token::Comment)
}

/// Signs in a row beyond which nobody wrote them for their value: the grammar folds them, one inside the other.
const MANY_SIGNS: usize = 100;

/// Whether `text` nests signs very deep, which leaves no trace in the tree.
pub(crate) fn has_many_signs(text: &str) -> bool {
    if text.len() <= MANY_SIGNS {
        return false;
    }
    let signs = text.bytes().filter(|byte| matches!(byte, b'-' | b'+')).count();
    if signs <= MANY_SIGNS {
        return false;
    }
    let mut run = 0_usize;
    Scanner::from(text, 0).any(|(token, range)| {
        let sign = matches!(text.get(range), Some("-" | "+"));
        run = match token {
            Token::Other if sign => run + 1,
            Token::Comment => run,
            Token::Other
            | Token::Word
            | Token::Quoted
            | Token::Literal
            | Token::Open
            | Token::Close
            | Token::Semicolon
            | Token::Dot => 0,
        };
        run > MANY_SIGNS
    })
}

/// Whether `text` has more operator characters in a row than anybody writes. PostgreSQL's lexer reads such a run
/// anew for each comment or sign that begins in it (`scan.l`, `operator` and `xcstart`), so that the
/// time it takes is the square of its length.
pub(crate) fn has_long_operator(text: &str) -> bool {
    if text.len() <= MAX_OPERATOR_BYTES {
        return false;
    }
    let is_operator = |byte: u8| {
        matches!(
            byte,
            b'~' | b'!'
                | b'@'
                | b'#'
                | b'^'
                | b'&'
                | b'|'
                | b'`'
                | b'?'
                | b'+'
                | b'-'
                | b'*'
                | b'/'
                | b'%'
                | b'<'
                | b'>'
                | b'='
        )
    };
    let is_long = |part: &str| {
        let mut run = 0_usize;
        part.bytes().any(|byte| {
            run = if is_operator(byte) { run + 1 } else { 0 };
            run > MAX_OPERATOR_BYTES
        })
    };
    if !is_long(text) {
        return false;
    }
    // Inside a literal or a quoted name it is text like any other.
    let mut end = 0;
    for (token, range) in Scanner::from(text, 0) {
        if matches!(token, Token::Literal | Token::Quoted) {
            if text.get(end..range.start).is_none_or(is_long) {
                return true;
            }
            end = range.end;
        }
    }
    text.get(end..).is_none_or(is_long)
}

const fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// By byte, whether a name goes on with it.
static NAMES: [bool; 256] = {
    let mut all = [false; 256];
    let mut rest: &mut [bool] = &mut all;
    let mut byte = 0_u8;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = starts_name(byte) || byte.is_ascii_digit() || byte == b'$';
        byte = byte.wrapping_add(1);
        rest = others;
    }
    all
};

fn continues_name(byte: u8) -> bool {
    NAMES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// A token, as far as anything here looks at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or key word, or a number that follows one.
    Word,
    /// `"…"`, also with `U&` before it.
    Quoted,
    /// Any kind of literal.
    Literal,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `;`.
    Semicolon,
    /// `.`.
    Dot,
    /// A number, a parameter, or any other byte.
    Other,
    /// `--` or `/* … */`.
    Comment,
}

impl Iterator for Scanner<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
        let start = self.at;
        let token = match self.peek(0)? {
            b'-' if self.peek(1) == Some(b'-') => self.line_comment(),
            b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
            b'\'' => self.literal(),
            b'"' => self.quoted_name(),
            b'e' | b'E' if self.peek(1) == Some(b'\'') => {
                self.escaped();
                Token::Literal
            }
            b'u' | b'U' if self.peek(1) == Some(b'&') && self.peek(2) == Some(b'"') => {
                self.at += 2;
                self.quoted_name()
            }
            b'$' => self.dollar(),
            byte if byte.is_ascii_digit() => {
                self.skip_while(|byte| continues_name(byte) || byte == b'.');
                Token::Other
            }
            byte if starts_name(byte) => {
                self.name();
                Token::Word
            }
            byte => {
                self.at += 1;
                match byte {
                    b'(' | b'[' => Token::Open,
                    b')' | b']' => Token::Close,
                    b';' => Token::Semicolon,
                    b'.' => Token::Dot,
                    _ => Token::Other,
                }
            }
        };
        Some((token, start..self.at.min(self.bytes.len())))
    }
}

impl<'t> Scanner<'t> {
    /// The tokens from a place on, which is not inside one.
    pub(crate) const fn from(text: &'t str, at: usize) -> Self {
        Self { bytes: text.as_bytes(), at }
    }

    fn line_comment(&mut self) -> Token {
        self.skip_while(|byte| byte != b'\n' && byte != b'\r');
        Token::Comment
    }

    /// Block comments nest.
    fn block_comment(&mut self) -> Token {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth = depth.saturating_sub(1);
                    self.at += 2;
                    if depth == 0 {
                        break;
                    }
                }
                _ => self.at += 1,
            }
        }
        Token::Comment
    }

    fn literal(&mut self) -> Token {
        self.quoted(b'\'');
        Token::Literal
    }

    /// A doubled quote belongs to the name.
    fn quoted_name(&mut self) -> Token {
        self.quoted(b'"');
        while self.peek(0) == Some(b'"') {
            self.quoted(b'"');
        }
        Token::Quoted
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at.saturating_add(ahead)).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().position(|byte| !wanted(*byte));
        self.at += count.unwrap_or(rest.len());
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
    fn dollar(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(starts_name) {
            self.skip_while(|byte| continues_name(byte) && byte != b'$');
        }
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_while(|byte| byte.is_ascii_digit());
            return Token::Other;
        }
        if self.peek(0) != Some(b'$') {
            return Token::Other;
        }
        self.at += 1;
        let tag = self.bytes.get(start..self.at).unwrap_or_default();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.windows(tag.len()).position(|window| window == tag);
        self.at += end.map_or(rest.len(), |end| end.saturating_add(tag.len()));
        Token::Literal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn long_runs_of_operators_are_found_outside_literals() {
        let long = "/**/".repeat(200);
        for text in [
            format!("SELECT 1 /*{long}*/"),
            format!("SELECT {}1", "+".repeat(600)),
            format!("SELECT '{long}', 1 {long}"),
            format!("SELECT 1 --{}", "=".repeat(600)),
        ] {
            assert!(has_long_operator(&text), "{text}");
        }
        for text in [
            format!("SELECT '{long}'"),
            format!("SELECT $$ {long} $$, \"{long}\""),
            format!("SELECT 1 /* {} */", "*".repeat(500)),
            format!("SELECT 1 -- {}", "- ".repeat(1000)),
        ] {
            assert!(!has_long_operator(&text), "{text}");
        }
    }

    #[test]
    fn signs_in_a_row_are_counted_outside_literals_and_comments() {
        let many = "- ".repeat(101);
        assert!(has_many_signs(&format!("SELECT {many}1")));
        assert!(has_many_signs(&format!("SELECT {}1", "- /* x */ ".repeat(101))));
        for text in [
            format!("SELECT '{many}'"),
            format!("SELECT 1 /* {many} */"),
            format!("SELECT 1 -- {many}"),
            format!("SELECT {}1", "- ".repeat(100)),
            "SELECT 1 - -1".to_owned(),
        ] {
            assert!(!has_many_signs(&text), "{text}");
        }
    }

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
