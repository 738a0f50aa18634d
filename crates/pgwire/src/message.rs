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
    /// The values of its parameters; none if only the beginning of the message is there.
    pub values: BindValues<'a>,
}

/// Parameter values as a Bind carries them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BindValues<'a> {
    /// Format codes, two bytes each: none, one for all, or one for each.
    formats: &'a [u8],
    /// Values with their lengths.
    values: &'a [u8],
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As the type's input function reads it.
    Text,
    /// As the type's receive function reads it.
    Binary,
}

impl<'a> BindValues<'a> {
    /// The values in order, each with its format; `None` for NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<(Format, &'a [u8])>> {
        let (formats, mut reader, mut index) = (self.formats, Reader(self.values), 0_usize);
        std::iter::from_fn(move || {
            let length = reader.word().ok()?;
            let value = match usize::try_from(length).ok()? {
                _ if length == u32::MAX => None,
                length => Some(reader.take(length).ok()?),
            };
            let format = format(formats, index);
            index = index.saturating_add(1);
            Some(format.zip(value))
        })
    }
}

/// The format of a value; a code that the server does not know is none.
fn format(formats: &[u8], index: usize) -> Option<Format> {
    let code = match formats.len() {
        0 => [0, 0],
        2 => *formats.first_chunk()?,
        _ => *formats.get(index.checked_mul(2)?..)?.first_chunk()?,
    };
    match code {
        [0, 0] => Some(Format::Text),
        [0, 1] => Some(Format::Binary),
        _ => None,
    }
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
    fn values(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.int16()?;
        let before = self.0;
        for _ in 0..count {
            let length = self.word()?;
            if length != u32::MAX {
                self.take(usize::try_from(length).map_err(|_too_long| Malformed)?)?;
            }
        }
        let length = before.len() - self.0.len();
        Reader(before).take(length)
    }

    fn formats(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.int16()?;
        self.take(count * 2)
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
    let (portal, statement) = (reader.cstring()?, reader.cstring()?);
    let mut values = BindValues::default();
    if complete {
        values = BindValues { formats: reader.formats()?, values: reader.values()? };
        reader.formats()?;
    }
    Ok(ClientMessage::Bind(BindHead { portal, statement, values }))
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

/// A Query message with this text, which holds no zero byte.
pub fn query(text: &[u8]) -> Vec<u8> {
    framed(b'Q', &[text, &[0]])
}

/// A Parse message of this name and text, neither of which holds a zero byte, with parameter type OIDs as
/// they came, four bytes each.
pub fn parse_message(name: &[u8], text: &[u8], types: &[u8]) -> Vec<u8> {
    let count = u16::try_from(types.len() / 4).unwrap_or(u16::MAX).to_be_bytes();
    framed(b'P', &[name, &[0], text, &[0], &count, types])
}

fn framed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(length + 5);
    frame.push(tag);
    // A text that was read as one frame and grew by some conditions is far from the limit.
    frame.extend(u32::try_from(length + 4).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
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
    fn what_is_written_is_read_back() {
        let frame = query(b"select 1");
        assert_eq!(frame[..5], [b'Q', 0, 0, 0, 13]);
        let read = decode_client(ClientTag::Query, &frame[5..], true);
        assert_eq!(read, Ok(ClientMessage::Query(b"select 1")));
        let types = &[0, 0, 0, 23, 0, 0, 0, 0];
        let frame = parse_message(b"s", b"select $1", types);
        let read = decode_client(ClientTag::Parse, &frame[5..], true);
        assert_eq!(read, Ok(ClientMessage::Parse { name: b"s", text: b"select $1", types }));
    }

    #[test]
    fn bind_is_walked_to_its_end() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02hi\0\0";
        let Ok(ClientMessage::Bind(head)) = decode_client(ClientTag::Bind, body, true) else {
            panic!("no Bind")
        };
        assert_eq!((head.portal, head.statement), (&b"p"[..], &b"s"[..]));
        let values: Vec<_> = head.values.iter().collect();
        assert_eq!(values, [None, Some((Format::Binary, &b"hi"[..]))]);
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
