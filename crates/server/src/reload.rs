//! Policies from files: at start, on SIGHUP, and when the file changes.
//!
//! Invariant `policy_swap_is_atomic`: a file that does not check is not installed; the old policy
//! stays in force and the log says so.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{Diagnostics, Loaded, Policy};
use tokio::signal::unix::Signal;
use tokio::time::interval;

use crate::gate::InForce;
use crate::limits::{MAX_POLICY_BYTES, POLICY_POLL};
use crate::{Error, Shared};

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_POLICY_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_POLICY_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a policy has 1 MiB at most"));
    }
    Ok(text)
}

/// Loads and checks a policy file.
///
/// # Errors
/// It cannot be read, or does not check.
pub(crate) fn load(path: &Path) -> Result<Loaded, Error> {
    let text = match read(path) {
        Ok(text) => text,
        Err(source) => {
            return Err(Error::PolicyUnreadable { path: path.to_owned(), source });
        }
    };
    checked(path, &text, &mut Named::new()).map_err(Error::Policy)
}

/// Files that a policy names, with their texts.
type Named = Vec<(PathBuf, String)>;

/// Checks a policy; a file that it names stands beside it.
fn checked(path: &Path, text: &str, named: &mut Named) -> Result<Loaded, Diagnostics> {
    let folder = path.parent().unwrap_or(Path::new(""));
    Policy::load_with(&path.display().to_string(), text, &mut |file| {
        let file = folder.join(file);
        let text = read(&file).map_err(|error| error.to_string())?;
        named.push((file, text.clone()));
        Ok(text)
    })
}

/// Whether a file that the policy names is not as it was.
fn has_changed(named: &Named) -> bool {
    named.iter().any(|(file, text)| read(file).is_ok_and(|now| now != *text))
}

/// Watches the policy file and SIGHUP.
pub(crate) async fn watch(shared: Arc<Shared>, mut hangup: Signal) {
    let path = shared.settings.policy_path.clone();
    let mut seen = read(&path).unwrap_or_default();
    let mut named = Named::new();
    // What is in force was checked at the start; this only learns which files it names.
    let _in_force = checked(&path, &seen, &mut named).is_ok();
    let mut gone = false;
    let mut ticks = interval(POLICY_POLL);
    let mut drained = shared.tasks.drained();
    loop {
        let asked = tokio::select! {
            () = &mut drained => return,
            _ = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                if asked || !gone {
                    tracing::error!(path = %path.display(), %error,
                        "policy not reloaded: the old one stays in force");
                }
                gone = true;
                continue;
            }
        };
        if std::mem::take(&mut gone) {
            tracing::info!(path = %path.display(), "the policy file is there again");
        }
        if !asked && text == seen && !has_changed(&named) {
            continue;
        }
        named.clear();
        install(&shared, &path, &text, &mut named);
        seen = text;
    }
}

fn install(shared: &Shared, path: &Path, text: &str, named: &mut Named) {
    match checked(path, text, named) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                tracing::warn!(%warning, "policy warning");
            }
            let in_force = InForce::new(loaded.policy);
            tracing::info!(policy = %in_force.digest, "policy reloaded");
            shared.gate.install(in_force);
            shared.metrics.policy_reloads.inc();
        }
        Err(errors) => {
            tracing::error!(path = %path.display(), %errors,
                "policy not reloaded: the old one stays in force");
            shared.metrics.policy_failures.inc();
        }
    }
}
