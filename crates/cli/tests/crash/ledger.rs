//! What the ledger says, read back and compared with what passed.

use std::collections::BTreeMap;
use std::path::Path;

use audit::{Reader, StoredRecord};
use testkit::proxy::run;

use testkit::tap::Forwarded;

/// Decisions by stage and exact text, how often each.
pub(crate) type Decisions = BTreeMap<(String, Vec<u8>), usize>;

/// Every decision that a reader finds.
pub(crate) fn decisions(folder: &Path) -> Decisions {
    let mut found = Decisions::new();
    for record in Reader::open(folder).unwrap() {
        if let StoredRecord::Decision(decision) = record.unwrap() {
            let stage = serde_json::to_value(decision.stage).unwrap();
            let stage = stage.as_str().unwrap().to_owned();
            let text = decision.exact_statement().unwrap_or_default();
            *found.entry((stage, text)).or_default() += 1;
        }
    }
    found
}

/// What passed without a record of its own.
pub(crate) fn unrecorded(forwarded: &[Forwarded], mut recorded: Decisions) -> Vec<String> {
    let mut missing = Vec::new();
    for each in forwarded {
        match recorded.get_mut(&(each.stage.to_owned(), each.text.clone())) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) | None => {
                missing.push(format!("{} {}", each.stage, each.text.escape_ascii()));
            }
        }
    }
    missing
}

/// What `verify-log` says: whether the ledger is intact, or intact but for a torn last record.
pub(crate) fn verified(folder: &Path, key: &Path) -> Finding {
    let arguments = [
        "verify-log",
        &folder.display().to_string(),
        "--key-file",
        &key.display().to_string(),
        "--format",
        "json",
    ];
    let (code, said, trouble) =
        run(Path::new(env!("CARGO_BIN_EXE_portcullis")), &arguments, "").unwrap();
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    match (code, answer["intact"].as_bool()) {
        (0, Some(true)) => Finding::Intact,
        (1, Some(false)) if said.to_lowercase().contains("torn") => Finding::Torn,
        _ => Finding::Broken(format!("exit {code}: {said}{trouble}")),
    }
}

/// State of a ledger.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Intact,
    Torn,
    Broken(String),
}
