//! Table patterns: `schema.table`, `table`, `schema.*`, `*`, and what they match.
//!
//! Two questions with opposite doubts. *Listed* (missions): every table that the name may stand
//! for must be listed. *Blocked*: one that it may stand for is enough. What is *not* here: which
//! tables exist; without a catalog, a name stands for every candidate.

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::{RelationName, Schemas};

/// An unqualified entry of a mission means this schema.
const PUBLIC: &str = "public";
/// PostgreSQL cuts identifiers at this length.
const MAX_IDENTIFIER_BYTES: usize = 63;

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ident {
    text: String,
    /// Written in double quotes: case counts.
    quoted: bool,
}

impl Ident {
    /// As PostgreSQL reads it.
    fn is(&self, name: &str) -> bool {
        self.text == name
    }

    /// For blocking: an entry without quotes blocks every spelling.
    fn may_be(&self, name: &str) -> bool {
        self.text == name || (!self.quoted && self.text.eq_ignore_ascii_case(name))
    }
}

/// One entry of `blocked_tables` or of a mission's `tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePattern {
    kind: Kind,
    shown: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Any,
    Schema(Ident),
    Qualified(Ident, Ident),
    Bare(Ident),
}

impl TablePattern {
    /// Reads an entry; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = split(text)?.into_iter();
        let kind = match (parts.next(), parts.next(), parts.next()) {
            (Some(Part::Star), None, None) => Kind::Any,
            (Some(Part::Name(name)), None, None) => Kind::Bare(name),
            (Some(Part::Name(schema)), Some(Part::Star), None) => Kind::Schema(schema),
            (Some(Part::Name(schema)), Some(Part::Name(name)), None) => {
                Kind::Qualified(schema, name)
            }
            _ => return Err("expected `schema.table`, `table`, `schema.*` or `*`"),
        };
        Ok(Self { kind, shown: text.to_owned() })
    }

    /// Whether PostgreSQL reads it otherwise than it is written: letters that are folded.
    pub(crate) fn folds(&self) -> bool {
        let folded = |ident: &Ident| !ident.quoted && !self.shown.contains(&ident.text);
        match &self.kind {
            Kind::Any => false,
            Kind::Schema(one) | Kind::Bare(one) => folded(one),
            Kind::Qualified(schema, name) => folded(schema) || folded(name),
        }
    }
}

enum Part {
    Star,
    Name(Ident),
}

fn split(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, tail) = match rest.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted)?,
            None => split_plain(rest)?,
        };
        parts.push(part);
        match tail.strip_prefix('.') {
            Some(next) => rest = next,
            None if tail.is_empty() => return Ok(parts),
            None => return Err("expected `.` after a quoted name"),
        }
    }
}

fn split_plain(text: &str) -> Result<(Part, &str), &'static str> {
    let (word, tail) = text.find('.').map_or((text, ""), |at| text.split_at(at));
    if word == "*" {
        return Ok((Part::Star, tail));
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'*,;()[]:".contains(c);
    if word.contains('*') {
        return Err("`*` stands alone: `schema.*` or `*`");
    }
    if word.contains(odd) {
        return Err("a name with other than letters, digits, `_`, `$` and `-` needs double quotes");
    }
    Ok((Part::Name(ident(word.to_ascii_lowercase(), false)?), tail))
}

fn split_quoted(text: &str) -> Result<(Part, &str), &'static str> {
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            let tail = text.get(at.saturating_add(1)..).unwrap_or_default();
            return Ok((Part::Name(ident(name, true)?), tail));
        }
    }
    Err("a double quote is not closed")
}

fn ident(text: String, quoted: bool) -> Result<Ident, &'static str> {
    if text.is_empty() {
        return Err("a name is empty");
    }
    if text.len() > MAX_IDENTIFIER_BYTES {
        return Err("a name is longer than PostgreSQL's 63 bytes");
    }
    Ok(Ident { text, quoted })
}

/// A compiled list of patterns. Looking a name up takes no more than the logarithm of the list's length: most lists
/// are short.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableSet {
    any: bool,
    schemas: Vec<Ident>,
    /// By lower-cased table name: the entries, `None` for an unqualified one.
    tables: BTreeMap<String, Vec<(Option<Ident>, Ident)>>,
    /// As written, sorted: for suggestions.
    shown: Vec<String>,
}

/// How one schema of a search path fares.
enum Candidate {
    /// The table itself is listed.
    Listed,
    /// The whole schema is listed: the table may still be missing there.
    SchemaListed,
    /// The role's own schema (`$user`) or the session's temporary one.
    Own,
    /// None of these.
    Foreign,
}

impl TableSet {
    pub(crate) fn new(patterns: impl IntoIterator<Item = TablePattern>) -> Self {
        let mut set = Self::default();
        for TablePattern { kind, shown } in patterns {
            set.shown.push(shown);
            match kind {
                Kind::Any => set.any = true,
                Kind::Schema(schema) => set.schemas.push(schema),
                Kind::Qualified(schema, name) => set.add(Some(schema), name),
                Kind::Bare(name) => set.add(None, name),
            }
        }
        set.shown.sort_unstable();
        set.shown.dedup();
        set
    }

    fn add(&mut self, schema: Option<Ident>, name: Ident) {
        self.tables.entry(name.text.to_ascii_lowercase()).or_default().push((schema, name));
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.schemas.is_empty() && self.tables.is_empty()
    }

    /// Whether it lists every table there is, also one that could not be established.
    pub(crate) const fn is_all(&self) -> bool {
        self.any
    }

    /// The entries as written, sorted.
    pub(crate) fn shown(&self) -> &[String] {
        &self.shown
    }

    fn entries(&self, name: &str) -> &[(Option<Ident>, Ident)] {
        let key = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        self.tables.get(key.as_ref()).map_or(&[], Vec::as_slice)
    }

    /// Whether every table that `relation` may stand for is listed. `role` is the database role,
    /// whose own schema (`$user`) stands on the default search path.
    pub(crate) fn lists(&self, relation: &RelationName, role: Option<&str>) -> bool {
        if self.any {
            return true;
        }
        match &relation.schemas {
            Schemas::Named(schema) => match self.candidate(schema, &relation.name, None) {
                Candidate::Listed | Candidate::SchemaListed => true,
                Candidate::Own | Candidate::Foreign => false,
            },
            Schemas::Paths(paths) => {
                !paths.is_empty()
                    && paths.iter().all(|path| self.lists_on(path, &relation.name, role))
            }
            Schemas::Unknown => false,
        }
    }

    /// On one search path: the first schema that lists the table itself settles it, if nothing
    /// before it could have it instead. A schema that is listed as a whole may lack the table, so
    /// the rest of the path must be listed too.
    fn lists_on(&self, path: &[String], name: &str, role: Option<&str>) -> bool {
        let mut listed = false;
        for schema in path {
            match self.candidate(schema, name, role) {
                Candidate::Listed => return true,
                Candidate::SchemaListed => listed = true,
                Candidate::Own => {}
                Candidate::Foreign => return false,
            }
        }
        listed
    }

    fn candidate(&self, schema: &str, name: &str, role: Option<&str>) -> Candidate {
        let itself = self.entries(name).iter().any(|(entry, table)| {
            table.is(name) && entry.as_ref().map_or(schema == PUBLIC, |entry| entry.is(schema))
        });
        if itself {
            Candidate::Listed
        } else if self.schemas.iter().any(|entry| entry.is(schema)) {
            Candidate::SchemaListed
        } else if role == Some(schema) || schema == "$user" || schema == "pg_temp" {
            Candidate::Own
        } else {
            Candidate::Foreign
        }
    }

    /// Whether one table that `relation` may stand for is listed.
    pub(crate) fn may_list(&self, relation: &RelationName) -> bool {
        if self.any {
            return true;
        }
        let in_schema = |entry: &Ident| match &relation.schemas {
            Schemas::Named(schema) => entry.may_be(schema),
            Schemas::Paths(paths) if paths.is_empty() => true,
            Schemas::Paths(paths) => paths.iter().flatten().any(|schema| entry.may_be(schema)),
            Schemas::Unknown => true,
        };
        let listed = |(schema, table): &(Option<Ident>, Ident)| {
            table.may_be(&relation.name) && schema.as_ref().is_none_or(in_schema)
        };
        self.schemas.iter().any(in_schema) || self.entries(&relation.name).iter().any(listed)
    }

    /// An entry for a table of that name in another place than the one asked for.
    pub(crate) fn elsewhere(&self, name: &str) -> Option<String> {
        let schema = |schema: &Option<Ident>| {
            schema.as_ref().map_or_else(|| PUBLIC.to_owned(), |ident| ident.text.clone())
        };
        let entries = self.entries(name).iter().filter(|(_, table)| table.is(name));
        entries.map(|(entry, _)| schema(entry)).min().map(|schema| format!("{schema}.{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> TableSet {
        TableSet::new(entries.iter().map(|entry| TablePattern::parse(entry).unwrap()))
    }

    fn named(schema: &str, name: &str) -> RelationName {
        RelationName { schemas: Schemas::Named(schema.into()), name: name.into() }
    }

    fn on(paths: &[&[&str]], name: &str) -> RelationName {
        let owned = |path: &&[&str]| path.iter().map(|schema| (*schema).to_owned()).collect();
        RelationName {
            schemas: Schemas::Paths(paths.iter().map(owned).collect()),
            name: name.into(),
        }
    }

    fn unknown(name: &str) -> RelationName {
        RelationName { schemas: Schemas::Unknown, name: name.into() }
    }

    #[test]
    fn entries_are_read_as_postgresql_reads_names() {
        for bad in
            ["", ".", "a.", ".a", "a.b.c", "*.a", "a*", "a b", "\"a", "\"a\"b", "a:b", "\"\""]
        {
            assert!(TablePattern::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TablePattern::parse(&"x".repeat(64)).is_err());
        assert!(TablePattern::parse(&"x".repeat(63)).is_ok());
        let users = set(&["Public.Users"]);
        assert!(users.lists(&named("public", "users"), None));
        assert!(!users.lists(&named("public", "Users"), None));
        let quoted = set(&["public.\"Users\"", "\"odd.schema\".\"a\"\"b\""]);
        assert!(quoted.lists(&named("public", "Users"), None));
        assert!(!quoted.lists(&named("public", "users"), None));
        assert!(quoted.lists(&named("odd.schema", "a\"b"), None));
        assert!(TablePattern::parse("public.Users").unwrap().folds());
        assert!(!TablePattern::parse("public.\"Users\"").unwrap().folds());
    }

    #[test]
    fn a_mission_table_must_be_the_one_that_is_read() {
        let mission = set(&["public.feedback", "orders", "app.*"]);
        assert!(mission.lists(&named("public", "feedback"), None));
        assert!(!mission.lists(&named("secret", "feedback"), None));
        assert!(mission.lists(&named("public", "orders"), None));
        assert!(!mission.lists(&named("hr", "orders"), None));
        assert!(mission.lists(&named("app", "anything"), None));
        assert!(mission.lists(&on(&[&["public"]], "feedback"), None));
        assert!(!mission.lists(&unknown("feedback"), None));
        assert!(set(&["*"]).lists(&unknown("feedback"), None));
    }

    #[test]
    fn a_search_path_cannot_move_a_listed_name_to_another_schema() {
        let mission = set(&["public.feedback"]);
        // Honest: the default path, with and without the role's schema expanded.
        assert!(mission.lists(&on(&[&["agent", "public"]], "feedback"), Some("agent")));
        assert!(mission.lists(&on(&[&["$user", "public"]], "feedback"), None));
        assert!(mission.lists(&on(&[&["public", "hr"]], "feedback"), None));
        // Evasion: another schema first, or the same name only there.
        assert!(!mission.lists(&on(&[&["hr", "public"]], "feedback"), Some("agent")));
        assert!(!mission.lists(&on(&[&["hr"]], "feedback"), None));
        assert!(!mission.lists(&on(&[&["agent"]], "feedback"), Some("agent")));
        // One possible path is not enough; no path at all is no proof.
        assert!(!mission.lists(&on(&[&["public"], &["hr"]], "feedback"), None));
        assert!(!mission.lists(&on(&[], "feedback"), None));
        assert!(!mission.lists(&on(&[&[]], "feedback"), None));
        // A schema listed as a whole may lack the table.
        let whole = set(&["public.*"]);
        assert!(whole.lists(&on(&[&["public"]], "salaries"), None));
        assert!(!whole.lists(&on(&[&["public", "hr"]], "salaries"), None));
    }

    #[test]
    fn one_candidate_is_enough_to_be_blocked() {
        let blocked = set(&["public.users", "Payments", "vault.*"]);
        assert!(blocked.may_list(&named("public", "users")));
        assert!(!blocked.may_list(&named("app", "users")));
        assert!(blocked.may_list(&on(&[&["app", "public"]], "users")));
        assert!(!blocked.may_list(&on(&[&["app"]], "users")));
        assert!(blocked.may_list(&on(&[], "users")));
        assert!(blocked.may_list(&named("app", "payments")));
        assert!(blocked.may_list(&named("app", "Payments")), "every spelling is blocked");
        assert!(blocked.may_list(&named("vault", "keys")));
        assert!(blocked.may_list(&on(&[&["vault", "public"]], "keys")));
        assert!(blocked.may_list(&unknown("anything")), "it may be in vault");
        assert!(!set(&["public.users"]).may_list(&unknown("feedback")));
        assert!(!blocked.may_list(&named("public", "feedback")));
        assert!(!set(&[]).may_list(&unknown("x")));
        assert!(set(&["*"]).may_list(&named("a", "b")));
    }
}
