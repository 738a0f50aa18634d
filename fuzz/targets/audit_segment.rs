//! Files that somebody put into a ledger's folder.
//!
//! Invariants: no panic; nothing that was not written with the key verifies with it.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use audit::{Key, Reader};
use libfuzzer_sys::fuzz_target;

static PLACE: OnceLock<(PathBuf, Key)> = OnceLock::new();

fn place() -> &'static (PathBuf, Key) {
    PLACE.get_or_init(|| {
        let folder =
            std::env::temp_dir().join(format!("portcullis-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("ledger")).unwrap();
        let key = Key::load_or_create(&folder.join("key")).unwrap();
        (folder, key)
    })
}

fuzz_target!(|input: &[u8]| {
    let (folder, key) = place();
    let ledger = folder.join("ledger");
    // The first segment, and perhaps a checkpoint behind a byte that no file has.
    let mut parts = input.splitn(2, |byte| *byte == 0xff);
    let segment = parts.next().unwrap_or_default();
    std::fs::write(ledger.join("0a0b0c0d-000001.jsonl"), segment).unwrap();
    let checkpoint = ledger.join("0a0b0c0d.checkpoint");
    match parts.next() {
        Some(bytes) => std::fs::write(&checkpoint, bytes).unwrap(),
        None => drop(std::fs::remove_file(&checkpoint)),
    }
    drop(audit::verify(&ledger, None));
    if !segment.is_empty() {
        assert!(audit::verify(&ledger, Some(key)).is_err(), "forged");
    }
    for record in Reader::open(&ledger).unwrap() {
        drop(record);
    }
});
