//! Client messages, decoded as far as a judge of statements needs, and checked to the last byte.
//!
//! Names and texts stay bytes: what is judged is what the server will read.

use crate::frame::ClientTag;

/// What a body breaks. The server answers such a message with ERROR 08P01 and lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A prepared statement or a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// `S`
    Statement,
    /// `P`
    Portal,
}

/// A simple query's text, without the NUL that ends it.
pub type Query<'a> = &'a [u8];

/// The part of a Bind before its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindHead<'a> {
    /// The portal that is made.
    pub portal: &'a [u8],
    /// The statement that it is made from.
    pub statement: &'a [u8],
}

/// One client message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// A simple query.
    Query(Query<'a>),
    /// Define a prepared statement.
    Parse {
        /// Its name, empty for the unnamed one.
        name: &'a [u8],
        /// The text.
        text: &'a [u8],
        /// Parameter type OIDs, four bytes each.
        types: &'a [u8],
    },
    /// Define a portal.
    Bind(BindHead<'a>),
    /// Ask for a description.
    Describe(NameKind, &'a [u8]),
    /// Run a portal.
    Execute(&'a [u8]),
    /// Forget a statement or portal.
    Close(NameKind, &'a [u8]),
    /// End of a group.
    Sync,
    /// Send what is ready.
    Flush,
    /// Call a function by OID.
    FunctionCall(u32),
    /// COPY rows.
    CopyData,
    /// COPY is complete.
    CopyDone,
    /// COPY is given up.
    CopyFail,
    /// Goodbye.
    Terminate,
    /// A password or SASL message, which has no place outside login.
    Password,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, tail) = self.0.split_first().ok_or(Malformed)?;
        self.0 = tail;
        Ok(*byte)
    }

    fn int16(&mut self) -> Result<usize, Malformed> {
        let (word, tail) = self.0.split_first_chunk::<2>().ok_or(Malformed)?;
        self.0 = tail;
        // The server reads counts as unsigned 16 bits.
        Ok(usize::from(u16::from_be_bytes(*word)))
    }

    fn word(&mut self) -> Result<u32, Malformed> {
        let (word, tail) = self.0.split_first_chunk::<4>().ok_or(Malformed)?;
        self.0 = tail;
        Ok(u32::from_be_bytes(*word))
    }

    fn cstring(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let value = self.take(end)?;
        self.byte()?;
        Ok(value)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// Values with their lengths, -1 for NULL.
    fn values(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.int16()? {
            let length = self.word()?;
            if length != u32::MAX {
                self.take(usize::try_from(length).map_err(|_too_long| Malformed)?)?;
            }
        }
        Ok(())
    }

    fn formats(&mut self) -> Result<(), Malformed> {
        let count = self.int16()?;
        self.take(count * 2)?;
        Ok(())
    }

    fn kind(&mut self) -> Result<NameKind, Malformed> {
        match self.byte()? {
            b'S' => Ok(NameKind::Statement),
            b'P' => Ok(NameKind::Portal),
            _ => Err(Malformed),
        }
    }
}

/// Decodes a body. With `complete` false, `body` is the beginning of a long Bind, Parse or
/// `FunctionCall` that is streamed: then only its head is read.
///
/// # Errors
/// [`Malformed`] for what the server would answer with 08P01.
pub fn decode_client(
    tag: ClientTag,
    body: &[u8],
    complete: bool,
) -> Result<ClientMessage<'_>, Malformed> {
    let mut reader = Reader(body);
    let message = match tag {
        ClientTag::Query if complete => ClientMessage::Query(reader.cstring()?),
        ClientTag::Query => ClientMessage::Query(reader.take(body.len())?),
        ClientTag::Parse => parse(&mut reader, complete)?,
        ClientTag::Bind => bind(&mut reader, complete)?,
        ClientTag::FunctionCall => function_call(&mut reader, complete)?,
        ClientTag::Describe => ClientMessage::Describe(reader.kind()?, reader.cstring()?),
        ClientTag::Close => ClientMessage::Close(reader.kind()?, reader.cstring()?),
        ClientTag::Execute => {
            let portal = reader.cstring()?;
            reader.word()?;
            ClientMessage::Execute(portal)
        }
        ClientTag::CopyFail => {
            reader.cstring()?;
            ClientMessage::CopyFail
        }
        ClientTag::Sync => ClientMessage::Sync,
        ClientTag::Flush => ClientMessage::Flush,
        ClientTag::CopyDone => ClientMessage::CopyDone,
        ClientTag::Terminate => return Ok(ClientMessage::Terminate),
        ClientTag::CopyData => return Ok(ClientMessage::CopyData),
        ClientTag::Password => return Ok(ClientMessage::Password),
    };
    if complete {
        reader.end()?;
    }
    Ok(message)
}

fn parse<'a>(reader: &mut Reader<'a>, complete: bool) -> Result<ClientMessage<'a>, Malformed> {
    let name = reader.cstring()?;
    if !complete {
        let text = reader.take(reader.0.len())?;
        return Ok(ClientMessage::Parse { name, text, types: &[] });
    }
    let text = reader.cstring()?;
    let count = reader.int16()?;
    let types = reader.take(count * 4)?;
    Ok(ClientMessage::Parse { name, text, types })
}

fn bind<'a>(reader: &mut Reader<'a>, complete: bool) -> Result<ClientMessage<'a>, Malformed> {
    let head = BindHead { portal: reader.cstring()?, statement: reader.cstring()? };
    if complete {
        reader.formats()?;
        reader.values()?;
        reader.formats()?;
    }
    Ok(ClientMessage::Bind(head))
}

fn function_call<'a>(
    reader: &mut Reader<'a>,
    complete: bool,
) -> Result<ClientMessage<'a>, Malformed> {
    let oid = reader.word()?;
    if complete {
        reader.formats()?;
        reader.values()?;
        reader.int16()?;
    }
    Ok(ClientMessage::FunctionCall(oid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_exactly_one_nul() {
        assert_eq!(
            decode_client(ClientTag::Query, b"select 1\0", true),
            Ok(ClientMessage::Query(b"select 1"))
        );
        for body in [&b"select 1"[..], b"select 1\0x", b"select 1\0\0", b""] {
            assert_eq!(decode_client(ClientTag::Query, body, true), Err(Malformed));
        }
    }

    #[test]
    fn parse_counts_its_types() {
        let ok = decode_client(ClientTag::Parse, b"s\0select $1\0\0\x01\0\0\0\x17", true).unwrap();
        assert_eq!(
            ok,
            ClientMessage::Parse { name: b"s", text: b"select $1", types: &[0, 0, 0, 0x17] }
        );
        assert!(decode_client(ClientTag::Parse, b"s\0select $1\0\0\x02\0\0\0\x17", true).is_err());
        assert!(decode_client(ClientTag::Parse, b"s\0select $1\0\0\0x", true).is_err());
    }

    #[test]
    fn bind_is_walked_to_its_end() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02hi\0\0";
        assert_eq!(
            decode_client(ClientTag::Bind, body, true),
            Ok(ClientMessage::Bind(BindHead { portal: b"p", statement: b"s" }))
        );
        assert!(decode_client(ClientTag::Bind, &body[..body.len() - 1], true).is_err());
        assert!(decode_client(ClientTag::Bind, b"p\0s\0", true).is_err());
        assert!(decode_client(ClientTag::Bind, b"p\0s\0", false).is_ok());
    }

    #[test]
    fn describe_and_close_name_a_kind() {
        assert_eq!(
            decode_client(ClientTag::Describe, b"Ss\0", true),
            Ok(ClientMessage::Describe(NameKind::Statement, b"s"))
        );
        assert!(decode_client(ClientTag::Close, b"Xs\0", true).is_err());
        assert!(decode_client(ClientTag::Sync, b"x", true).is_err());
    }
}
