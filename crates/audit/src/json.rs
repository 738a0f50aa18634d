//! The few pieces of JSON that records are written with by hand, and hexadecimal.
//!
//! Invariant: [`string`] gives a JSON string on one line whatever the text holds, and the text can
//! be read back from it unchanged.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` as a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        escape(out, *byte);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            out.extend_from_slice(b"\\u00");
            hex(out, &[other]);
        }
    }
}

/// Appends `value` in decimal.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        start -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Appends nanoseconds as microseconds with three decimals, exactly.
pub(crate) fn micros(out: &mut Vec<u8>, nanos: u64) {
    number(out, nanos / 1000);
    let rest = nanos % 1000;
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

/// Appends lower-case hexadecimal.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}

/// Lower-case hexadecimal as text.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    hex(&mut out, bytes);
    out.into_iter().map(char::from).collect()
}

/// Reads exactly `2 * N` lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (slot, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *slot = nibble(high)? << 4 | nibble(low)?;
    }
    Some(bytes)
}

/// Reads any even number of lower-case hexadecimal digits.
pub(crate) fn unhex_any(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            &[high, low] => Some(nibble(high)? << 4 | nibble(low)?),
            _ => None,
        })
        .collect()
}

/// Upper case is refused: one value has one spelling, so that no byte can change unseen.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        for value in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(|out| number(out, value)), value.to_string());
        }
        assert_eq!(written(|out| micros(out, 1_234_567)), "1234.567");
        assert_eq!(written(|out| micros(out, 5)), "0.005");
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(hex_text(&[0, 0xa5, 255]), "00a5ff");
        assert_eq!(unhex::<3>(b"00a5ff"), Some([0, 0xa5, 255]));
        assert_eq!(unhex::<3>(b"00A5ff"), None);
        assert_eq!(unhex::<3>(b"00a5f"), None);
        assert_eq!(unhex_any("00a5"), Some(vec![0, 0xa5]));
    }

    proptest::proptest! {
        #[test]
        fn strings_round_trip_on_one_line(text in "\\PC*|[\\x00-\\x7f\u{2028}é]*") {
            let json = written(|out| string(out, &text));
            proptest::prop_assert!(json.bytes().all(|byte| byte >= 0x20));
            let back: String = serde_json::from_str(&json).unwrap();
            proptest::prop_assert_eq!(back, text);
        }
    }
}
