//! Random bytes and frames, in random pieces.

use pgwire::limits::{MAX_LARGE_BYTES, MAX_STARTUP_BYTES};
use pgwire::{
    ClientTag, ErrorFields, HEADER_BYTES, NegotiateVersion, Opening, Protocol, Refused, Submitted,
    client_header, decode_client, decode_opening, encode_startup, opening_length, upstream_header,
};
use proptest::prelude::*;

use super::config;

/// Bytes that are often close to something meaningful.
fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    const TAGS: &[u8] = b"QPBDECSHFdcfpX123CIDTntsZEGA";
    let numbers = prop::collection::vec(any::<u16>(), 0..longest);
    numbers.prop_map(|numbers| {
        let byte = |number: u16| {
            let [kind, byte] = number.to_be_bytes();
            match kind % 8 {
                0..=4 => byte,
                5 | 6 => 0,
                _ => TAGS[usize::from(byte) % TAGS.len()],
            }
        };
        numbers.into_iter().map(byte).collect()
    })
}

/// A frame with a right length, most of the time.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tag = proptest::sample::select(&b"QPBDECSHFdcfpX!"[..]);
    (tag, bytes(60), prop::option::weighted(0.1, any::<u32>())).prop_map(|(tag, body, length)| {
        let right = u32::try_from(body.len() + 4).unwrap();
        let mut frame = vec![tag];
        frame.extend(length.unwrap_or(right).to_be_bytes());
        frame.extend(body);
        frame
    })
}

/// Splits a stream of client bytes into frames, as a session does; the end says why it stopped.
fn frames(input: &[u8], pieces: &[usize]) -> (Vec<(ClientTag, Vec<u8>)>, Option<String>) {
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    let mut rest = input;
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    loop {
        match client_header(&buffer) {
            Err(violation) => return (found, Some(violation.to_string())),
            Ok(Some(header)) if buffer.len() >= header.frame() => {
                let body = buffer[HEADER_BYTES..header.frame()].to_vec();
                found.push((header.tag, body));
                buffer.drain(..header.frame());
            }
            Ok(_) if rest.is_empty() => return (found, None),
            Ok(_) => {
                let count = pieces.next().unwrap_or(usize::MAX).min(rest.len());
                buffer.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            }
        }
    }
}

/// Something unanswered in front of the machine.
fn ask(machine: &mut Protocol<u32, u32>, what: u8) {
    match what % 9 {
        0 => drop(machine.sync(b"S")),
        1 => machine.submitted(Submitted::Query(Vec::new()), Some(1)),
        2 => machine.submitted(Submitted::Parse(b"a", 1), Some(2)),
        3 => machine.submitted(Submitted::Bind(b"", 2), None),
        4 => machine.submitted(Submitted::Execute(pgwire::Effects::none()), Some(3)),
        5 => drop(machine.copy_end(b"c")),
        6 => drop(machine.refused(Refused::Query, 7)),
        7 => drop(machine.describe(b"D", None)),
        _ => machine.submitted(Submitted::FunctionCall, None),
    }
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn opening_bytes_never_panic(input in bytes(300)) {
        if let Ok(Some(length)) = opening_length(&input) {
            prop_assert!((8..=MAX_STARTUP_BYTES).contains(&length));
        }
        // Whatever the length word says, only what is there is read.
        if let Ok(Opening::Startup(message)) = decode_opening(&input) {
            let again = encode_startup(message.version, &message.parameters);
            if let Ok(packet) = again {
                prop_assert_eq!(opening_length(&packet).unwrap(), Some(packet.len()));
                let Ok(Opening::Startup(again)) = decode_opening(&packet) else {
                    return Err(TestCaseError::fail("it does not read what it writes"));
                };
                prop_assert_eq!(again.parameters, message.parameters);
                prop_assert!(again.extensions.is_empty());
            }
        }
    }

    #[test]
    fn startup_parameters_never_panic(body in bytes(300), minor in 0_u8..4) {
        let mut packet = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
        packet.extend([0, 3, 0, minor]);
        packet.extend(body);
        if let Ok(Opening::Startup(message)) = decode_opening(&packet) {
            prop_assert!(message.parameters.iter().all(|(name, _)| !name.starts_with("_pq_.")));
        }
    }

    #[test]
    fn headers_are_bounded_and_do_not_change_their_mind(input in bytes(12)) {
        for cut in 0..=input.len() {
            match (client_header(&input[..cut]), client_header(&input)) {
                (Err(early), late) => prop_assert_eq!(late, Err(early)),
                (Ok(Some(early)), late) => {
                    prop_assert!(early.body <= MAX_LARGE_BYTES);
                    prop_assert_eq!(late, Ok(Some(early)));
                }
                (Ok(None), _) => {}
            }
            if let Ok(Some(header)) = upstream_header(&input[..cut]) {
                prop_assert!(header.body <= MAX_LARGE_BYTES);
            }
        }
    }

    #[test]
    fn frames_are_the_same_in_any_pieces(
        input in prop::collection::vec(frame(), 0..12),
        pieces in prop::collection::vec(1_usize..20, 0..200),
    ) {
        let input = input.concat();
        let (whole, end) = frames(&input, &[]);
        prop_assert_eq!(&(whole.clone(), end), &frames(&input, &pieces));
        for (tag, body) in whole {
            // Both ways of reading have to survive; what both accept has to be the same head.
            let complete = decode_client(tag, &body, true);
            for cut in 0..=body.len() {
                let beginning = decode_client(tag, &body[..cut], false);
                if tag == ClientTag::Bind && let (Ok(complete), Ok(beginning)) = (complete, beginning) {
                    prop_assert_eq!(complete, beginning);
                }
            }
        }
    }

    #[test]
    fn the_machine_survives_any_answers(
        asked in prop::collection::vec(any::<u8>(), 0..20),
        answers in prop::collection::vec((any::<u8>(), bytes(40)), 0..60),
    ) {
        let mut machine: Protocol<u32, u32> = Protocol::default();
        let mut asked = asked.into_iter();
        for (tag, body) in answers {
            if tag % 3 == 0 && let Some(what) = asked.next() {
                ask(&mut machine, what);
            }
            let tag = b"RK23CWdcGHDIEVvnNAtS1sZT"[usize::from(tag) % 24];
            let header = upstream_header(&[tag, 0, 0, 0, 4]).unwrap().unwrap();
            if machine.upstream(header.tag, &body).is_err() {
                // The session ends here.
                break;
            }
            machine.settled().for_each(drop);
        }
    }

    #[test]
    fn error_fields_never_panic(body in bytes(80)) {
        let fields = ErrorFields::decode(&body);
        prop_assert!(fields.code.len() < body.len().max(1));
        if let Some(version) = NegotiateVersion::decode_version(&body) {
            prop_assert_eq!(version.major, 3);
        }
    }
}
