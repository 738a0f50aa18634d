//! Function lists of an agent: by name, by schema, or by what built-in functions declare.

use model::{CallUse, Volatility};

use crate::function::{FunctionPattern, FunctionSet};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallablePattern {
    /// A name, as in `blocked_functions`.
    Named(FunctionPattern),
    /// `@immutable`, `@stable`, `@volatile`: built-in functions that declare it. A user's own
    /// declaration proves nothing.
    Declared(Volatility),
}

impl CallablePattern {
    /// Reads an entry; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix('@') {
            None => FunctionPattern::parse(text).map(Self::Named),
            Some("immutable") => Ok(Self::Declared(Volatility::Immutable)),
            Some("stable") => Ok(Self::Declared(Volatility::Stable)),
            Some("volatile") => Ok(Self::Declared(Volatility::Volatile)),
            Some(_) => Err("expected `@immutable`, `@stable` or `@volatile`"),
        }
    }
}

impl CallablePattern {
    fn shown(&self) -> String {
        match self {
            Self::Named(pattern) => pattern.to_string(),
            Self::Declared(Volatility::Immutable) => "@immutable".to_owned(),
            Self::Declared(Volatility::Stable) => "@stable".to_owned(),
            Self::Declared(Volatility::Volatile) => "@volatile".to_owned(),
        }
    }
}

/// A compiled list.
#[derive(Debug, Clone, Default)]
struct CallableSet {
    named: FunctionSet,
    declared: Vec<Volatility>,
    shown: String,
}

impl CallableSet {
    fn new(patterns: Vec<CallablePattern>) -> Self {
        let shown: Vec<String> = patterns.iter().map(CallablePattern::shown).collect();
        let (mut named, mut declared) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern {
                CallablePattern::Named(pattern) => named.push(pattern),
                CallablePattern::Declared(volatility) => declared.push(volatility),
            }
        }
        Self { named: FunctionSet::new(named), declared, shown: shown.join(", ") }
    }

    fn holds(&self, call: &CallUse) -> bool {
        let built_in = call.schema == "pg_catalog";
        (built_in && self.declared.contains(&call.volatility))
            || self.named.has(&call.schema, &call.name)
    }
}

/// What an agent may call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callables {
    allow: Option<CallableSet>,
    deny: CallableSet,
}

impl Callables {
    pub(crate) fn new(allow: Option<Vec<CallablePattern>>, deny: Vec<CallablePattern>) -> Self {
        Self { allow: allow.map(CallableSet::new), deny: CallableSet::new(deny) }
    }

    /// Whether it lets everything pass.
    pub(crate) fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.named.is_empty() && self.deny.declared.is_empty()
    }

    /// Whether it has a list of allowed ones.
    pub(crate) const fn lists(&self) -> bool {
        self.allow.is_some()
    }

    /// In lines for people.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(
            self.allow.as_ref().map(|allow| format!("only these functions: {}", allow.shown)),
        );
        if !self.deny.shown.is_empty() {
            lines.push(format!("never these functions: {}", self.deny.shown));
        }
        lines
    }

    /// Whether the list of allowed ones names it.
    pub(crate) fn names(&self, call: &CallUse) -> bool {
        self.allow.as_ref().is_some_and(|allow| allow.holds(call))
    }

    pub(crate) fn permits(&self, call: &CallUse) -> bool {
        // Allowing a view allows what it calls.
        let allow = self.allow.as_ref().filter(|_| !call.reached);
        allow.is_none_or(|allow| allow.holds(call)) && !self.deny.holds(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(schema: &str, name: &str, volatility: Volatility) -> CallUse {
        CallUse { schema: schema.into(), name: name.into(), reached: false, volatility }
    }

    fn list(entries: &[&str]) -> Vec<CallablePattern> {
        entries.iter().map(|entry| CallablePattern::parse(entry).unwrap()).collect()
    }

    #[test]
    fn what_a_function_declares_counts_only_if_it_is_built_in() {
        let rights =
            Callables::new(Some(list(&["@immutable", "app.*", "now"])), list(&["app.bad"]));
        assert!(rights.permits(&call("pg_catalog", "lower", Volatility::Immutable)));
        assert!(!rights.permits(&call("pg_catalog", "random", Volatility::Volatile)));
        assert!(!rights.permits(&call("public", "lower", Volatility::Immutable)));
        assert!(rights.permits(&call("app", "total", Volatility::Volatile)));
        assert!(!rights.permits(&call("app", "bad", Volatility::Immutable)));
        assert!(rights.permits(&call("pg_catalog", "now", Volatility::Stable)));
        assert!(Callables::default().permits(&call("x", "y", Volatility::Volatile)));
        assert!(Callables::default().is_open() && !rights.is_open());
        assert!(CallablePattern::parse("@pure").is_err());
    }
}
