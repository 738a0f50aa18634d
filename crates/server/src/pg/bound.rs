//! Values that Bind brings, where they decide.
//!
//! What is here: reading a value by the type that it certainly has. What is not: which parameters
//! decide, which the facts say. Invariant: a value that could be read in two ways that matter is not
//! read, and then binds nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Fact, SqlFacts, TenantType};
use pgwire::{BindValues, Format};

use crate::limits::MAX_BOUND_BYTES;

/// Types whose values are texts, as they are (`pg_type.dat`): text, varchar.
const TEXTS: &[u32] = &[25, 1043];
/// unknown, the type of a bare literal: declaring it leaves the type to the server as 0 does.
const UNDECLARED: u32 = 705;
/// bpchar.
const PADDED: u32 = 1042;
/// int8, int2, int4.
const INTEGERS: &[u32] = &[20, 21, 23];
/// uuid.
const UUID: u32 = 2950;

/// The types that Parse gives to parameters, by OID; 0 is for the server to find out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Types(Arc<[u32]>);

impl Types {
    /// From the message's own bytes, four each.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let words = bytes.as_chunks().0.iter();
        Self(words.map(|word| u32::from_be_bytes(*word)).collect())
    }

    fn declared(&self, number: u32) -> u32 {
        let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let declared = index.and_then(|index| self.0.get(index)).copied();
        declared.filter(|declared| *declared != UNDECLARED).unwrap_or_default()
    }
}

/// The values of the parameters that decide, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bound {
    values: Vec<Value>,
    types: Types,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    number: u32,
    format: Format,
    bytes: Box<[u8]>,
}

impl Bound {
    /// What `values` say of the parameters that decide about `facts`. `utf8`: whether the client's
    /// texts are the server's.
    pub(super) fn of(facts: &SqlFacts, values: &BindValues<'_>, types: &Types, utf8: bool) -> Self {
        let mut deciding: BTreeSet<u32> = BTreeSet::new();
        if let Fact::Known(shape) = &facts.shape {
            deciding.extend(shape.parameters());
        }
        if let Fact::Known(tenants) = &facts.tenants {
            deciding.extend(tenants.iter().flat_map(model::TenantUse::parameters));
        }
        if deciding.is_empty() {
            return Self::default();
        }
        let read = |(number, value): (u32, Option<(Format, &[u8])>)| {
            let (format, bytes) = value.filter(|_| deciding.contains(&number))?;
            let sound = bytes.len() <= MAX_BOUND_BYTES
                && (utf8 || bytes.is_ascii() || format == Format::Binary);
            sound.then(|| Value { number, format, bytes: bytes.into() })
        };
        let values = (1..).zip(values.iter()).filter_map(read).collect();
        Self { values, types: types.clone() }
    }

    /// Whether it says nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The same facts with these values in place of parameters.
    pub(super) fn apply(&self, facts: Arc<SqlFacts>) -> Arc<SqlFacts> {
        if self.is_empty() {
            return facts;
        }
        let mut bound = SqlFacts::clone(&facts);
        if let Fact::Known(shape) = &mut bound.shape {
            let repeated = std::mem::take(&mut shape.repeated);
            shape.bind(&|number| self.find(number).and_then(Value::rows), &|number| {
                // Undeclared, another place may give it a type that cuts it short.
                self.unresolved(number, repeated.contains(&number))
            });
        }
        if let Fact::Known(tenants) = &mut bound.tenants {
            for used in tenants.iter_mut() {
                used.bind(&|number, typed, read| self.resolved(number, typed, read));
            }
            tenants.sort_unstable();
        }
        Arc::new(bound)
    }

    fn find(&self, number: u32) -> Option<&Value> {
        self.values.iter().find(|value| value.number == number)
    }

    /// A value for a column whose type nobody told us.
    fn unresolved(&self, number: u32, repeated: bool) -> Option<String> {
        let value = self.find(number)?;
        match self.types.declared(number) {
            0 if repeated || value.format == Format::Binary => None,
            0 => value.text(),
            declared => value.of(kind(declared)?),
        }
    }

    /// A value that stands for a tenant's column, where it is read as this type: the column's, or that
    /// of the innermost cast around the parameter.
    fn resolved(&self, number: u32, typed: bool, read: TenantType) -> Option<String> {
        let value = self.find(number)?;
        match self.types.declared(number) {
            0 if !typed => None,
            0 => value.of(read),
            declared => {
                let own = kind(declared)?;
                let texts = matches!(own, TenantType::Text) && matches!(read, TenantType::Padded);
                (own == read || texts).then(|| value.of(own)).flatten()
            }
        }
    }
}

/// How values of a declared type are read; of any other they are not.
fn kind(declared: u32) -> Option<TenantType> {
    if TEXTS.contains(&declared) {
        Some(TenantType::Text)
    } else if INTEGERS.contains(&declared) {
        Some(TenantType::Integer)
    } else if declared == UUID {
        Some(TenantType::Uuid)
    } else if declared == PADDED {
        Some(TenantType::Padded)
    } else {
        None
    }
}

impl Value {
    fn of(&self, kind: TenantType) -> Option<String> {
        match (kind, self.format) {
            (TenantType::Text | TenantType::Padded, _) | (_, Format::Text) => self.text(),
            (TenantType::Integer, Format::Binary) => {
                self.integer().map(|number| number.to_string())
            }
            (TenantType::Uuid, Format::Binary) => {
                let bytes: [u8; 16] = (*self.bytes).try_into().ok()?;
                Some(format!("{:032x}", u128::from_be_bytes(bytes)))
            }
            (TenantType::Other, Format::Binary) => None,
        }
    }

    fn text(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        (!text.contains(char::is_control)).then(|| text.to_owned())
    }

    fn integer(&self) -> Option<i64> {
        match self.bytes.len() {
            2 => (*self.bytes).try_into().ok().map(|bytes| i64::from(i16::from_be_bytes(bytes))),
            4 => (*self.bytes).try_into().ok().map(|bytes| i64::from(i32::from_be_bytes(bytes))),
            8 => (*self.bytes).try_into().ok().map(i64::from_be_bytes),
            _ => None,
        }
    }

    /// As the number of a LIMIT.
    fn rows(&self) -> Option<u64> {
        match self.format {
            Format::Text => self.text()?.trim().parse().ok(),
            Format::Binary => self.integer().and_then(|number| u64::try_from(number).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(format: Format, bytes: &[u8]) -> Value {
        Value { number: 1, format, bytes: bytes.into() }
    }

    fn bound(format: Format, bytes: &[u8], types: &[u32]) -> Bound {
        Bound { values: vec![value(format, bytes)], types: Types(types.into()) }
    }

    #[test]
    fn values_are_read_by_the_type_that_they_certainly_have() {
        use Format::{Binary, Text};
        use TenantType as Kind;
        let read = |format, bytes: &[u8], kind| bound(format, bytes, &[]).resolved(1, true, kind);
        assert_eq!(read(Text, b"tenant_1", Kind::Text).as_deref(), Some("tenant_1"));
        assert_eq!(read(Binary, b"tenant_1", Kind::Text).as_deref(), Some("tenant_1"));
        assert_eq!(read(Binary, b"1234", Kind::Integer).as_deref(), Some("825373492"));
        assert_eq!(read(Binary, &[0, 7], Kind::Integer).as_deref(), Some("7"));
        assert_eq!(read(Binary, &[0xff; 8], Kind::Integer).as_deref(), Some("-1"));
        let ones = "ffffffffffffffffffffffffffffffff";
        assert_eq!(read(Binary, &[0xff; 16], Kind::Uuid).as_deref(), Some(ones));
        assert_eq!(read(Text, b"5", Kind::Other).as_deref(), Some("5"));
        for (format, bytes, kind) in [
            (Binary, &b"12345"[..], Kind::Integer),
            (Binary, b"5", Kind::Other),
            (Text, b"a\n", Kind::Text),
            (Text, &[0xff], Kind::Text),
        ] {
            assert_eq!(read(format, bytes, kind), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_value_of_an_uncertain_type_is_not_read() {
        use Format::{Binary, Text};
        use TenantType as Kind;
        // "char" keeps one letter of it.
        assert_eq!(bound(Text, b"acme", &[18]).resolved(1, true, Kind::Text), None);
        assert_eq!(bound(Text, b"acme", &[18]).unresolved(1, false), None);
        assert_eq!(bound(Text, b"acme", &[]).resolved(1, false, Kind::Text), None);
        assert_eq!(bound(Text, b"acme", &[]).unresolved(1, true), None);
        assert_eq!(bound(Binary, b"acme", &[]).unresolved(1, false), None);
        assert_eq!(bound(Binary, b"1234", &[23]).resolved(1, false, Kind::Text), None);
        // `unknown` is for the server to find out, as 0 is.
        assert_eq!(bound(Text, b"acme", &[705]).unresolved(1, true), None);
        assert_eq!(bound(Text, b"acme", &[705]).resolved(1, false, Kind::Text), None);
        let honest = bound(Text, b"acme", &[705]).resolved(1, true, Kind::Text);
        assert_eq!(honest.as_deref(), Some("acme"));
        assert_eq!(bound(Text, b"acme", &[25]).unresolved(1, true).as_deref(), Some("acme"));
        assert_eq!(bound(Text, b"acme", &[]).unresolved(1, false).as_deref(), Some("acme"));
        assert_eq!(bound(Binary, &[0, 0, 0, 7], &[23]).unresolved(1, true).as_deref(), Some("7"));
    }

    #[test]
    fn a_limit_is_a_number_whatever_its_bytes_look_like() {
        assert_eq!(value(Format::Binary, b"1234").rows(), Some(825_373_492));
        assert_eq!(value(Format::Text, b" 10 ").rows(), Some(10));
        assert_eq!(value(Format::Text, b"1e3").rows(), None);
        assert_eq!(value(Format::Binary, &[0xff; 4]).rows(), None);
    }
}
