//! An agent's `settings`: which it may change, and up to what.
//!
//! What is *not* here: what is guarded for everybody (`settings`); this only narrows. Invariant: a value that
//! cannot be compared with a bound is beyond it.

use model::{SettingChange, SettingUse, SettingValue};

/// The settings that an agent may change; without a list, all that nothing else forbids.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingList(Option<Vec<(String, Option<Bound>)>>);

/// The highest value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Bound(f64);

/// Units of time, in milliseconds (PostgreSQL documentation, "Parameter Names and Values").
const UNITS: &[(&str, f64)] = &[
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1_000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];

/// Settings whose plain numbers are milliseconds: for these alone a bound may have a unit.
const TIMEOUTS: &[&str] = &[
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
];

/// Whether a bound of a setting can be written like this.
pub(crate) fn fits(name: &str, bound: &str) -> bool {
    let plain = bound.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain || TIMEOUTS.contains(&name)
}

impl Bound {
    /// Reads a number, with a unit of time or without.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(split)?;
        let number = number.trim();
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value: f64 = number.parse().ok().filter(|_| plain)?;
        match unit {
            "" => Some(Self(value)),
            unit => {
                let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
                Some(Self(value * factor))
            }
        }
    }
}

impl SettingList {
    pub(crate) const fn new(list: Vec<(String, Option<Bound>)>) -> Self {
        Self(Some(list))
    }

    /// Whether nothing is narrowed.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it lets a change pass.
    pub(crate) fn permits(&self, change: &SettingUse) -> bool {
        let Some(list) = &self.0 else { return true };
        // Back to what it was brings nothing new.
        if matches!(change.change, SettingChange::Reset | SettingChange::ResetAll) {
            return true;
        }
        let mut entries = list.iter().filter(|(name, _)| *name == change.name);
        entries.any(|(_, bound)| bound.is_none_or(|bound| is_within(bound, &change.value)))
    }

    /// Whether it lets a setting be shown.
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|list| list.iter().any(|(listed, _)| listed == name))
    }

    /// In a line for people.
    pub(crate) fn shown(&self) -> Option<String> {
        let list = self.0.as_ref()?;
        let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Some(format!("settings that it may change: {names}"))
    }
}

/// 0 turns a limit off.
fn is_within(bound: Bound, value: &SettingValue) -> bool {
    match value {
        SettingValue::Default => true,
        SettingValue::Unknown => false,
        SettingValue::Constants(values) => match values.as_slice() {
            [only] => Bound::parse(only).is_some_and(|value| value.0 > 0.0 && value <= bound),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, value: &str) -> SettingUse {
        let value = SettingValue::Constants(vec![value.to_owned()]);
        SettingUse { name: name.to_owned(), change: SettingChange::Local, value }
    }

    #[test]
    fn a_bound_holds_in_every_unit_and_off_is_beyond_it() {
        let list = SettingList::new(vec![
            ("timezone".to_owned(), None),
            ("statement_timeout".to_owned(), Bound::parse("30s")),
        ]);
        for value in ["1", "30000", "30s", "30000ms", "0.5min", " 5 s"] {
            assert!(list.permits(&change("statement_timeout", value)), "{value}");
        }
        for value in ["0", "0ms", "30001", "31s", "1h", "-1", "1e9", "", "DEFAULT", "30S"] {
            assert!(!list.permits(&change("statement_timeout", value)), "{value}");
        }
        assert!(list.permits(&change("timezone", "UTC")));
        assert!(!list.permits(&change("lock_timeout", "1")));
        assert!(SettingList::default().permits(&change("lock_timeout", "0")));
        let reset = SettingUse { change: SettingChange::ResetAll, ..change("all", "") };
        assert!(list.permits(&reset));
    }
}
