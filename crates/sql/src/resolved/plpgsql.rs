//! Functions of triggers in PL/pgSQL, as far as they are plain: assignments to fields of NEW, IF, INSERT, UPDATE,
//! DELETE, MERGE, PERFORM, RAISE without options, RETURN.
//!
//! What is *not* here: variables, loops, dynamic SQL, handlers, cursors, SELECT INTO; a function that has any of
//! them is not read at all. Invariant: whatever the server may run when the function is called is in one of
//! the texts that it is taken apart into.
//!
//! Source: PostgreSQL documentation, "Basic Statements", "Conditionals", "Errors and Messages", "Trigger
//! Functions" of PL/pgSQL. An expression is what the server makes of it: the end of a SELECT.

use std::ops::Range;

use crate::limits;
use crate::scanner::{Scanner, Token};

/// What names mean in every function of a trigger.
pub(super) const NAMES: &[&str] = &[
    "tg_name",
    "tg_when",
    "tg_level",
    "tg_op",
    "tg_relid",
    "tg_relname",
    "tg_table_name",
    "tg_table_schema",
    "tg_nargs",
    "tg_argv",
    "found",
];

/// How deep IF may stand in IF.
const MAX_DEPTH: usize = 16;

/// The statements that a body comes to; `None` if it is not plain.
pub(super) fn statements(body: &str) -> Option<Vec<String>> {
    // How a backslash is read depends on the session.
    if body.len() > limits::MAX_STATEMENT_BYTES || body.contains('\\') {
        return None;
    }
    let tokens: Vec<_> =
        Scanner::from(body, 0).filter(|(token, _)| *token != Token::Comment).collect();
    let mut reader = Reader { body, tokens, at: 0, found: Vec::new() };
    reader.word("begin")?;
    let end = reader.block(0)?;
    if end != "end" {
        return None;
    }
    if reader.peek().is_some() {
        reader.expect(Token::Semicolon)?;
    }
    reader.peek().is_none().then_some(reader.found)
}

/// The tokens of a body.
struct Reader<'b> {
    body: &'b str,
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    found: Vec<String>,
}

impl<'b> Reader<'b> {
    fn peek(&self) -> Option<(Token, &'b str)> {
        let (token, range) = self.tokens.get(self.at)?;
        Some((*token, self.body.get(range.clone())?))
    }

    fn next(&mut self) -> Option<(Token, &'b str)> {
        let next = self.peek();
        self.at += 1;
        next
    }

    fn expect(&mut self, wanted: Token) -> Option<()> {
        (self.next()?.0 == wanted).then_some(())
    }

    fn word(&mut self, wanted: &str) -> Option<()> {
        let (token, text) = self.next()?;
        (token == Token::Word && text.eq_ignore_ascii_case(wanted)).then_some(())
    }

    /// Statements up to the word that ends them, which is taken.
    fn block(&mut self, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        loop {
            let begin = self.at;
            let (token, text) = self.next()?;
            if token != Token::Word {
                return None;
            }
            match text.to_ascii_lowercase().as_str() {
                word @ ("end" | "else" | "elsif" | "elseif") => return Some(word.to_owned()),
                "new" => self.assignment()?,
                "if" => self.conditional(depth)?,
                "return" => self.returns()?,
                "null" => self.expect(Token::Semicolon)?,
                "perform" => self.select(";")?,
                "raise" => self.raise()?,
                "insert" | "update" | "delete" | "merge" => {
                    self.at = begin;
                    let text = self.up_to(";")?;
                    self.found.push(text.to_owned());
                }
                _ => return None,
            }
        }
    }

    /// `NEW.c := expression`.
    fn assignment(&mut self) -> Option<()> {
        self.expect(Token::Dot)?;
        let (token, _) = self.next()?;
        if !matches!(token, Token::Word | Token::Quoted) {
            return None;
        }
        if self.peek()?.1 == ":" {
            self.at += 1;
        }
        if self.next()?.1 != "=" {
            return None;
        }
        self.select(";")
    }

    fn conditional(&mut self, depth: usize) -> Option<()> {
        self.select("then")?;
        loop {
            match self.block(depth + 1)?.as_str() {
                "elsif" | "elseif" => self.select("then")?,
                "else" => {
                    if self.block(depth + 1)? != "end" {
                        return None;
                    }
                    break;
                }
                _ => break,
            }
        }
        self.word("if")?;
        self.expect(Token::Semicolon)
    }

    /// A trigger gives back a row or nothing.
    fn returns(&mut self) -> Option<()> {
        let (_, text) = self.next()?;
        let plain = ["new", "old", "null"].iter().any(|row| text.eq_ignore_ascii_case(row));
        plain.then(|| self.expect(Token::Semicolon))?
    }

    /// `RAISE level 'format', expression, …`: the client may read it.
    fn raise(&mut self) -> Option<()> {
        if self.peek()?.0 == Token::Word {
            self.at += 1;
        }
        if self.peek()?.0 != Token::Literal {
            return None;
        }
        self.select(";")
    }

    /// An expression, read as the server reads it.
    fn select(&mut self, end: &str) -> Option<()> {
        let expression = self.up_to(end)?;
        self.found.push(format!("SELECT {expression}"));
        Some(())
    }

    /// The text up to a semicolon or a word outside parentheses, which is taken.
    fn up_to(&mut self, end: &str) -> Option<&'b str> {
        let start = self.tokens.get(self.at)?.1.start;
        let mut depth = 0_usize;
        loop {
            let place = self.tokens.get(self.at)?.1.start;
            let (token, text) = self.next()?;
            match token {
                Token::Open => depth += 1,
                Token::Close => depth = depth.checked_sub(1)?,
                Token::Semicolon if end == ";" && depth == 0 => return self.body.get(start..place),
                Token::Semicolon => return None,
                Token::Word if depth == 0 && end != ";" && text.eq_ignore_ascii_case(end) => {
                    return self.body.get(start..place);
                }
                Token::Word
                | Token::Quoted
                | Token::Literal
                | Token::Dot
                | Token::Other
                | Token::Comment => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(body: &str) -> Option<Vec<String>> {
        statements(body)
    }

    #[test]
    fn what_is_plain_is_taken_apart() {
        for (body, wanted) in [
            ("BEGIN NEW.updated_at = now(); RETURN NEW; END", vec!["SELECT now()"]),
            ("begin new.\"A b\" := lower(NEW.x) ; return new; end;", vec!["SELECT lower(NEW.x) "]),
            (
                "BEGIN -- why; not\n IF TG_OP = 'DELETE' THEN INSERT INTO log VALUES (OLD.id, ';'); RETURN OLD;\n\
                 ELSIF NEW.a > (SELECT 1) THEN NULL; ELSE /* END */ PERFORM f(NEW.a); END IF; RETURN NULL; END",
                vec![
                    "SELECT TG_OP = 'DELETE' ",
                    "INSERT INTO log VALUES (OLD.id, ';')",
                    "SELECT NEW.a > (SELECT 1) ",
                    "SELECT f(NEW.a)",
                ],
            ),
            (
                "BEGIN IF a THEN IF b THEN RAISE EXCEPTION 'no %', NEW.id; END IF; END IF; RETURN NEW; END",
                vec!["SELECT a ", "SELECT b ", "SELECT 'no %', NEW.id"],
            ),
            ("BEGIN RETURN NEW; END", vec![]),
            ("BEGIN END", vec![]),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(taken_apart(body), Some(wanted), "{body}");
        }
    }

    #[test]
    fn what_is_not_is_not_read() {
        for body in [
            "",
            "DECLARE x int; BEGIN RETURN NEW; END",
            "#variable_conflict use_column\nBEGIN RETURN NEW; END",
            "<<l>> BEGIN RETURN NEW; END",
            "BEGIN EXECUTE 'DROP TABLE x'; RETURN NEW; END",
            "BEGIN SELECT email INTO NEW.x FROM users; RETURN NEW; END",
            "BEGIN x := 1; RETURN NEW; END",
            "BEGIN NEW := f(NEW); RETURN NEW; END",
            "BEGIN NEW.a[1] := 2; RETURN NEW; END",
            "BEGIN RETURN f(NEW); END",
            "BEGIN RETURN NEW; EXCEPTION WHEN others THEN RETURN NULL; END",
            "BEGIN FOR r IN SELECT 1 LOOP NULL; END LOOP; RETURN NEW; END",
            "BEGIN RAISE NOTICE 'x' ; RAISE; RETURN NEW; END",
            "BEGIN BEGIN RETURN NEW; END; END",
            "BEGIN IF a THEN RETURN NEW; END; END",
            "BEGIN IF a THEN RETURN NEW; ELSE NULL; ELSE NULL; END IF; END",
            "BEGIN NEW.a = 'x\\'; RETURN NEW; END",
            "BEGIN RETURN NEW; END; SELECT 1",
            "BEGIN NEW.a = (1; RETURN NEW; END",
            "BEGIN RETURN NEW; END IF",
            "BEGIN",
        ] {
            assert_eq!(taken_apart(body), None, "{body}");
        }
        let deep = format!("BEGIN {} RETURN NEW; END", "IF a THEN ".repeat(40));
        assert_eq!(taken_apart(&deep), None);
    }
}
