//! Function patterns: `name`, `prefix*`, `schema.name`, `schema.prefix*`, `*`.
//!
//! Names are compared without regard to case. Two questions with opposite doubts: *blocked*, where
//! an unqualified call may be the qualified pattern's function; and *granted*, where a pattern with
//! a schema grants only calls that name that schema. What is *not* here: the shipped list
//! (`shipped`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use model::FunctionUse;

/// One entry of a function list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionPattern {
    schema: Option<String>,
    name: String,
    prefix: bool,
}

impl FunctionPattern {
    /// Reads an entry; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let (schema, name) = match lower.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, lower.as_str()),
        };
        let (name, prefix) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'*.,;()[]".contains(c);
        if name.contains(odd)
            || schema.is_some_and(|schema| schema.is_empty() || schema.contains(odd))
        {
            return Err(
                "expected `name`, `prefix*`, `schema.name` or `schema.prefix*`, without arguments",
            );
        }
        if name.is_empty() && !prefix {
            return Err("a name is empty");
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned(), prefix })
    }

    /// Whether it is `*`.
    pub(crate) fn is_any(&self) -> bool {
        self.schema.is_none() && self.prefix && self.name.is_empty()
    }

    /// Whether a function may be in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let schemas = match (&self.schema, &other.schema) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, _) | (_, None) => true,
        };
        let names = match (self.prefix, other.prefix) {
            (false, false) => self.name == other.name,
            (true, false) => other.name.starts_with(&self.name),
            (false, true) => self.name.starts_with(&other.name),
            (true, true) => {
                self.name.starts_with(&other.name) || other.name.starts_with(&self.name)
            }
        };
        schemas && names
    }
}

impl fmt::Display for FunctionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)?;
        if self.prefix { f.write_str("*") } else { Ok(()) }
    }
}

/// What a set says about the schema of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// An unqualified call may be any schema's function.
    Counts,
    /// Only a named schema is that schema.
    Fails,
}

/// A compiled list of patterns.
#[derive(Debug, Clone, Default)]
pub(crate) struct FunctionSet {
    any: bool,
    exact: HashMap<String, Vec<Option<String>>>,
    prefixes: Vec<(Option<String>, String)>,
}

impl FunctionSet {
    pub(crate) fn new(patterns: impl IntoIterator<Item = FunctionPattern>) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            let any = pattern.is_any();
            let FunctionPattern { schema, name, prefix } = pattern;
            if any {
                set.any = true;
            } else if prefix {
                set.prefixes.push((schema, name));
            } else {
                set.exact.entry(name).or_default().push(schema);
            }
        }
        set
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any && self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Whether it holds every function, also one that could not be established.
    pub(crate) const fn is_all(&self) -> bool {
        self.any
    }

    /// Whether the call may be of a function in the set.
    pub(crate) fn may_hold(&self, call: &FunctionUse) -> bool {
        self.matches((call.schema.as_deref(), &call.name), Doubt::Counts)
    }

    /// Whether the call is of a function in the set.
    pub(crate) fn holds(&self, call: &FunctionUse) -> bool {
        self.matches((call.schema.as_deref(), &call.name), Doubt::Fails)
    }

    /// Whether the function of that schema and name is in the set.
    pub(crate) fn has(&self, schema: &str, name: &str) -> bool {
        self.matches((Some(schema), name), Doubt::Fails)
    }

    fn matches(&self, (schema, name): (Option<&str>, &str), doubt: Doubt) -> bool {
        if self.any {
            return true;
        }
        let name = lower(name);
        let schema = schema.map(lower);
        let schema = schema.as_deref();
        let fits = |wanted: &Option<String>| match (wanted.as_deref(), schema) {
            (None, _) => true,
            (Some(wanted), Some(schema)) => wanted == schema,
            (Some(_), None) => doubt == Doubt::Counts,
        };
        self.exact.get(name.as_ref()).is_some_and(|schemas| schemas.iter().any(fits))
            || self
                .prefixes
                .iter()
                .any(|(wanted, prefix)| name.starts_with(prefix.as_str()) && fits(wanted))
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> FunctionSet {
        FunctionSet::new(entries.iter().map(|entry| FunctionPattern::parse(entry).unwrap()))
    }

    fn call(name: &str) -> FunctionUse {
        let (schema, name) = name.split_once('.').map_or((None, name), |(s, n)| (Some(s), n));
        FunctionUse { schema: schema.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn blocking_ignores_case_and_schema() {
        let blocked = set(&["PG_Sleep", "lo_*", "pg_catalog.pg_read_file"]);
        for name in [
            "pg_sleep",
            "PG_SLEEP",
            "pg_catalog.pg_sleep",
            "lo_import",
            "public.lo_create",
            "pg_read_file",
            "pg_catalog.pg_read_file",
        ] {
            assert!(blocked.may_hold(&call(name)), "{name}");
        }
        for name in ["count", "pg_sleepy", "xlo_import", "public.pg_read_file"] {
            assert!(!blocked.may_hold(&call(name)), "{name}");
        }
    }

    #[test]
    fn a_grant_with_a_schema_needs_the_schema() {
        let granted = set(&["app.dblink", "pg_sleep"]);
        assert!(granted.holds(&call("app.dblink")) && granted.holds(&call("pg_catalog.pg_sleep")));
        assert!(!granted.holds(&call("dblink")) && !granted.holds(&call("public.dblink")));
    }

    #[test]
    fn patterns_overlap_where_a_function_may_be_in_both() {
        let pattern = |text| FunctionPattern::parse(text).unwrap();
        for (one, other, both) in [
            ("lo_*", "lo_import", true),
            ("lo_*", "l*", true),
            ("*", "dblink", true),
            ("public.lo_import", "lo_*", true),
            ("public.touch", "lo_*", false),
            ("net.http_get", "http_get", true),
            ("app.http_get", "net.http_*", false),
            ("a", "b", false),
        ] {
            assert_eq!(pattern(one).overlaps(&pattern(other)), both, "{one} {other}");
            assert_eq!(pattern(other).overlaps(&pattern(one)), both, "{other} {one}");
        }
    }

    #[test]
    fn patterns_are_checked() {
        for bad in ["", "a b", "a()", "a*b", ".a", "a.", "a.b.c", "\"A\"", "**"] {
            assert!(FunctionPattern::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["*", "a*", "a.b", "a.*", "oid:1234"] {
            assert!(FunctionPattern::parse(good).is_ok(), "{good:?}");
        }
        assert!(FunctionPattern::parse("*").unwrap().is_any());
        assert!(!FunctionPattern::parse("a.*").unwrap().is_any());
    }
}
