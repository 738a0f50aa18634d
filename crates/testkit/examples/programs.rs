//! Prints the folder of PostgreSQL's programs, fetching a pinned build if there is none.
//! The argument is a major version.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let major = std::env::args().nth(1).and_then(|word| word.parse::<u32>().ok());
    let found = match major {
        Some(major) => testkit::locate::version(major),
        None => testkit::locate::any(),
    };
    let said = match &found {
        Ok(folder) => writeln!(std::io::stdout(), "{}", folder.display()),
        Err(trouble) => writeln!(std::io::stderr(), "{trouble}"),
    };
    if found.is_ok() && said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
