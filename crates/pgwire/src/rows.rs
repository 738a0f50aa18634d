//! What a `RowDescription` says of where its columns come from.
//!
//! Source: PostgreSQL documentation, "Message Formats". Invariant: reads no further than what is there;
//! the rest of a long message stays unread.

/// The OIDs of the tables that columns come from, as far as `body` goes; 0, which is an expression, is
/// left out.
pub fn table_oids(body: &[u8]) -> impl Iterator<Item = u32> + '_ {
    // The count of columns.
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let name = rest.iter().position(|byte| *byte == 0)?;
        let field = rest.get(name + 1..)?;
        let (oid, _) = field.split_first_chunk::<4>()?;
        // Column number, type, its length and modifier, format.
        rest = field.get(18..).unwrap_or_default();
        Some(u32::from_be_bytes(*oid))
    })
    .filter(|oid| *oid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, oid: u32) -> Vec<u8> {
        let mut field = name.as_bytes().to_vec();
        field.push(0);
        field.extend(oid.to_be_bytes());
        field.extend([0; 14]);
        field
    }

    #[test]
    fn tables_are_read_as_far_as_the_message_goes() {
        let body =
            [vec![0, 3], field("a", 16_400), field("?column?", 0), field("b", 16_500)].concat();
        assert_eq!(table_oids(&body).collect::<Vec<_>>(), [16_400, 16_500]);
        assert_eq!(table_oids(&body[..body.len() - 16]).collect::<Vec<_>>(), [16_400]);
        assert_eq!(table_oids(&[]).count(), 0);
        assert_eq!(table_oids(&[0, 1, b'x']).count(), 0);
    }
}
