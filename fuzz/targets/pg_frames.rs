//! Bytes that a client or a server might send, before and after login.
//!
//! Invariants: no panic; a length is never larger than its limit; what is incomplete is never read
//! differently once there is more of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgwire::limits::{MAX_LARGE_BYTES, MAX_STARTUP_BYTES};
use pgwire::{
    ErrorFields, NegotiateVersion, Opening, client_header, decode_client, decode_opening,
    encode_startup, opening_length, upstream_header,
};

fuzz_target!(|input: &[u8]| {
    if let Ok(Some(length)) = opening_length(input) {
        assert!((8..=MAX_STARTUP_BYTES).contains(&length));
    }
    if let Ok(Opening::Startup(message)) = decode_opening(input) {
        if let Ok(packet) = encode_startup(message.version, &message.parameters) {
            let Ok(Opening::Startup(again)) = decode_opening(&packet) else {
                panic!("it does not read what it writes");
            };
            assert_eq!(again.parameters, message.parameters);
        }
    }
    let mut rest = input;
    while let Ok(Some(header)) = client_header(rest) {
        assert!(header.body <= MAX_LARGE_BYTES);
        for cut in 0..rest.len().min(5) {
            assert!(client_header(&rest[..cut]) == Ok(None));
        }
        let body = &rest[5..rest.len().min(header.frame())];
        let complete = body.len() == header.body;
        let beginning = decode_client(header.tag, body, false);
        if complete && decode_client(header.tag, body, true).is_ok() {
            assert!(beginning.is_ok());
        }
        if !complete {
            break;
        }
        rest = &rest[header.frame()..];
    }
    if let Ok(Some(header)) = upstream_header(input) {
        assert!(header.body <= MAX_LARGE_BYTES);
    }
    let fields = ErrorFields::decode(input);
    assert!(fields.code.len() <= input.len());
    if let Some(version) = NegotiateVersion::decode_version(input) {
        assert_eq!(version.major, 3);
    }
});
