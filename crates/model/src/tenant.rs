//! Tenants, as the catalog shows them: each use of a relation whose rows belong to somebody, and what binds it.

use serde::{Deserialize, Serialize};

use crate::Access;

/// What binds a reference to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantBound {
    /// A constant.
    Value(String),
    /// The parameter of this number.
    Parameter {
        /// Its number, from 1.
        number: u32,
        /// Each of its places is the tenant's column, so that this decides its type.
        typed: bool,
        /// How its value is read, where casts say so otherwise than the column.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cast: Option<TenantType>,
    },
    /// `current_setting` of this setting.
    Setting(String),
}

/// How values of a tenant's column are compared.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TenantType {
    /// `text`, `varchar`: as they are.
    Text,
    /// `char(n)`: without the spaces at the end.
    Padded,
    /// `smallint`, `integer`, `bigint`: as numbers.
    Integer,
    /// `uuid`: as 16 bytes.
    Uuid,
    /// Any other: only the same text is certainly the same value.
    #[default]
    Other,
}

impl TenantType {
    /// Whether two texts are the same value of the type.
    pub fn same(self, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        match self {
            Self::Text | Self::Other => false,
            Self::Padded => one.trim_end_matches(' ') == other.trim_end_matches(' '),
            Self::Integer => matches!((integer(one), integer(other)), (Some(a), Some(b)) if a == b),
            Self::Uuid => matches!((uuid(one), uuid(other)), (Some(a), Some(b)) if a == b),
        }
    }
}

/// A plain decimal number; what else PostgreSQL reads as one (spaces, `0x10`, `1_0`) is none here.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// 32 hexadecimal digits, with or without the usual hyphens.
fn uuid(text: &str) -> Option<u128> {
    let usual = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    let digits = if usual { text.replace('-', "") } else { text.to_owned() };
    let plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

/// One reference to a relation that has the tenant's column, or to a view that may hide it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantUse {
    /// The relation's schema.
    pub schema: String,
    /// The relation.
    pub relation: String,
    /// Read or written.
    pub access: Access,
    /// Whether it has the column itself.
    pub has_column: bool,
    /// How values of the column are compared.
    #[serde(default)]
    pub kind: TenantType,
    /// Each of these holds for every row of it. Sorted, unique.
    pub bounds: Vec<TenantBound>,
}

impl TenantUse {
    /// Puts values in the place of parameters, each read as the type that is asked for; `None` is one that
    /// cannot be read.
    pub fn bind(&mut self, value: &dyn Fn(u32, bool, TenantType) -> Option<String>) {
        let kind = self.kind;
        for bound in &mut self.bounds {
            if let TenantBound::Parameter { number, typed, cast } = *bound
                && let Some(text) = value(number, typed, cast.unwrap_or(kind))
            {
                *bound = TenantBound::Value(text);
            }
        }
    }

    /// The parameters that it rests on.
    pub fn parameters(&self) -> impl Iterator<Item = u32> {
        self.bounds.iter().filter_map(|bound| match bound {
            TenantBound::Parameter { number, .. } => Some(*number),
            TenantBound::Value(_) | TenantBound::Setting(_) => None,
        })
    }

    /// The same as part of another statement, whose parameters are others.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let mut other = self.clone();
        other.bounds.retain(|bound| !matches!(bound, TenantBound::Parameter { .. }));
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_the_type_of_their_column() {
        assert!(TenantType::Integer.same("007", "7"));
        assert!(TenantType::Padded.same("acme  ", "acme"));
        let id = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11";
        assert!(TenantType::Uuid.same(id, "a0eebc999c0b4ef8bb6d6bb9bd380a11"));
        for kind in [TenantType::Text, TenantType::Other] {
            assert!(kind.same("7", "7"));
            assert!(!kind.same("007", "7"));
            assert!(!kind.same("acme ", "acme"));
        }
        for (one, other) in [("7", "8"), ("0x7", "7"), (" 7", "7"), ("", "0"), ("-", "0")] {
            assert!(!TenantType::Integer.same(one, other), "{one} {other}");
        }
        assert!(!TenantType::Uuid.same(id, "a0eebc999c0b4ef8bb6d6bb9bd380a12"));
    }
}
