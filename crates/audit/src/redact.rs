//! Replaces what a statement carries (literals, comments) by a question mark.
//!
//! This is a scanner, not a parser: it knows how PostgreSQL's lexer delimits strings, quoted
//! names, comments and numbers, and nothing else. Names, also quoted ones, stay. Where two
//! readings are possible (a backslash before a quote, which depends on a setting of the session;
//! something that does not end), everything that follows is replaced: too much is hidden rather
//! than too little.

/// `sql` with literals and comments replaced by `?`.
pub(crate) fn literals(sql: &str) -> String {
    let mut scanner = Scanner { rest: sql, out: String::with_capacity(sql.len()), glued: false };
    while let Some(next) = scanner.rest.chars().next() {
        scanner.step(next);
    }
    scanner.out
}

struct Scanner<'a> {
    rest: &'a str,
    out: String,
    /// The character before is part of a name or number, so a digit or `$` continues it.
    glued: bool,
}

/// How a string literal ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// A backslash always escapes: `E'…'`.
    Escapes,
    /// A backslash escapes or does not, depending on the session.
    Either,
}

impl Scanner<'_> {
    fn step(&mut self, next: char) {
        match next {
            '\'' => self.quoted(Quoting::Either),
            '"' => self.name(),
            '-' if self.rest.starts_with("--") => self.line_comment(),
            '/' if self.rest.starts_with("/*") => self.block_comment(),
            '$' if !self.glued => self.dollar(),
            '0'..='9' if !self.glued => self.number(),
            '.' if !self.glued && self.second_is_digit() => self.number(),
            'e' | 'E' if !self.glued && self.second_is('\'') => {
                self.keep(1);
                self.quoted(Quoting::Escapes);
            }
            other => {
                self.glued =
                    other == '_' || other == '$' || other.is_alphanumeric() || !other.is_ascii();
                self.keep(other.len_utf8());
            }
        }
    }

    fn keep(&mut self, len: usize) {
        let (kept, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn replace(&mut self, len: usize, with: &str) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.out.push_str(with);
        self.glued = false;
    }

    fn second_is(&self, wanted: char) -> bool {
        self.rest.chars().nth(1) == Some(wanted)
    }

    fn second_is_digit(&self) -> bool {
        self.rest.chars().nth(1).is_some_and(|second| second.is_ascii_digit())
    }

    /// Hides everything that is left.
    fn give_up(&mut self) {
        self.replace(self.rest.len(), "?…");
    }

    fn quoted(&mut self, quoting: Quoting) {
        let mut bytes = self.rest.bytes().enumerate().skip(1).peekable();
        let mut backslashes = 0_usize;
        while let Some((at, byte)) = bytes.next() {
            let escaped = backslashes % 2 == 1;
            match (byte, escaped, quoting) {
                (b'\'', true, Quoting::Either) => return self.give_up(),
                (b'\'', false, Quoting::Either | Quoting::Escapes) => {
                    if bytes.next_if(|(_, next)| *next == b'\'').is_none() {
                        return self.replace(at + 1, "'?'");
                    }
                    backslashes = 0;
                }
                (b'\\', true | false, Quoting::Either | Quoting::Escapes) => backslashes += 1,
                // Also a quote that is escaped for certain.
                (_, true | false, Quoting::Either | Quoting::Escapes) => backslashes = 0,
            }
        }
        self.give_up();
    }

    /// A quoted name is kept; one that does not end is not a name.
    fn name(&mut self) {
        let inner = self.rest.get(1..).unwrap_or_default();
        match inner.find('"') {
            Some(at) => self.keep(at + 2),
            None => self.give_up(),
        }
        self.glued = false;
    }

    fn line_comment(&mut self) {
        let len = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        self.replace(len, "--?");
    }

    /// Comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(tail) = self.rest.get(at..).filter(|tail| !tail.is_empty()) {
            if tail.starts_with("/*") {
                depth += 1;
                at += 2;
            } else if tail.starts_with("*/") {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return self.replace(at, "/*?*/");
                }
            } else {
                at += tail.chars().next().map_or(1, char::len_utf8);
            }
        }
        self.give_up();
    }

    /// `$tag$…$tag$`; `$1` is a parameter, and stays.
    fn dollar(&mut self) {
        let inner = self.rest.get(1..).unwrap_or_default();
        let tag_len = inner
            .find(|c: char| !(c == '_' || c.is_alphanumeric() || !c.is_ascii()))
            .unwrap_or(inner.len());
        let starts_with_digit = inner.starts_with(|c: char| c.is_ascii_digit());
        if starts_with_digit || !inner.get(tag_len..).unwrap_or_default().starts_with('$') {
            self.keep(1);
            self.glued = true;
            return;
        }
        let (tag, body) = self.rest.split_at_checked(tag_len + 2).unwrap_or((self.rest, ""));
        match body.find(tag) {
            Some(at) => {
                let len = at + tag.len() * 2;
                self.replace(len, "$?$");
            }
            None => self.give_up(),
        }
    }

    /// Digits and whatever is glued to them: `1_000`, `0xff`, `1e10`, `1.5`. A sign inside an
    /// exponent is taken for an operator, and the digits after it for another number.
    fn number(&mut self) {
        let len = self
            .rest
            .find(|c: char| !(c == '_' || c == '.' || c.is_ascii_alphanumeric()))
            .unwrap_or(self.rest.len());
        self.replace(len, "?");
    }
}

#[cfg(test)]
mod tests {
    use super::literals;

    #[test]
    fn literals_and_comments_go_and_names_stay() {
        for (sql, redacted) in [
            ("select 1, 2.5, .5, 1e10, 0xFF, 1_000", "select ?, ?, ?, ?, ?, ?"),
            ("select a1, t2.c3, $1, x$2 from t4", "select a1, t2.c3, $1, x$2 from t4"),
            ("select 'a', 'it''s', ''", "select '?', '?', '?'"),
            ("select E'a\\'b', e'\\\\', n", "select E'?', e'?', n"),
            ("select U&'d\\0061', B'1', x'f'", "select U&'?', B'?', x'?'"),
            ("select \"a'b\", \"x\"\"y\", U&\"n\"", "select \"a'b\", \"x\"\"y\", U&\"n\""),
            ("select $$a$$, $t$ $$ ' $t$, 'b'", "select $?$, $?$, '?'"),
            ("select 1 -- secret 'x'\n, 2", "select ? --?\n, ?"),
            ("select /* a /* b */ c */ 1", "select /*?*/ ?"),
            (
                "set password = 'x'; alter role a password 'y'",
                "set password = '?'; alter role a password '?'",
            ),
            ("select 'é' , é1 , 'ß'", "select '?' , é1 , '?'"),
            ("select '\\d+' ~ 'a\\\\'", "select '?' ~ '?'"),
        ] {
            assert_eq!(literals(sql), redacted, "{sql}");
        }
    }

    #[test]
    fn what_could_be_read_two_ways_is_hidden_to_the_end() {
        for sql in [
            "select 'a\\' or secret or 'b'",
            "select 'secret",
            "select E'secret\\'",
            "select $a$ secret $b$",
            "select /* secret */* 1",
            "select /* /* secret */",
            "select \"secret",
        ] {
            let redacted = literals(sql);
            assert!(!redacted.contains("secret"), "{sql} gave {redacted}");
        }
    }

    proptest::proptest! {
        /// Whatever stands around it, a plain literal never survives.
        #[test]
        fn no_literal_survives(
            before in "[a-z0-9 ,;()'\"$/*\\\\é-]{0,20}",
            after in "[a-z0-9 ,;()'\"$/*\\\\é-]{0,20}",
        ) {
            let sql = format!("{before}'hush1'{after}");
            let redacted = literals(&sql);
            // It may be a name (inside an odd number of double quotes), or code (after an odd
            // number of single ones): only then may the word be there.
            let plain = !before.contains(['\'', '"']);
            proptest::prop_assert!(!plain || !redacted.contains("hush1"), "{} gave {}", sql, redacted);
        }

        #[test]
        fn any_text_ends(text in "\\PC*") {
            let redacted = literals(&text);
            proptest::prop_assert!(redacted.len() <= text.len() * 5 + 8);
        }
    }
}
