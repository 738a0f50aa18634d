//! Ends what a test started, however the test ends.
//!
//! A small shell holds the reading end of a pipe whose writing end only we have. The pipe closes
//! when the guard is dropped, and also when our process is killed; then the shell ends the child
//! and removes its folder. One path for both, so the rare one is tested by the common one.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::trouble::{Result, Trouble};

/// Signals, waits up to five seconds, kills, removes the folder.
const SCRIPT: &str = r#"
read -r _
kill "-$2" "$1" 2>/dev/null
i=0
while kill -0 "$1" 2>/dev/null; do
  case "$(sed 's/.*) //;s/ .*//' "/proc/$1/stat" 2>/dev/null)" in Z|'') break ;; esac
  i=$((i+1)); [ $i -gt 250 ] && { kill -KILL "$1" 2>/dev/null; break; }
  sleep 0.02
done
[ -n "$3" ] && rm -rf -- "$3"
exit 0
"#;

/// A child process that dies with this value or with our process.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watchdog: Child,
    pipe: Option<ChildStdin>,
}

impl Guarded {
    /// Watches over `child`: it will get `signal` (as `kill` names it), then KILL; `folder` goes.
    pub fn new(mut child: Child, signal: &str, folder: Option<&Path>) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", &child.id().to_string(), signal]);
        command.arg(folder.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // An own process group: Ctrl-C must not end the watchdog before what it watches.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        match command.spawn() {
            Ok(mut watchdog) => {
                let pipe = watchdog.stdin.take();
                Ok(Self { child, watchdog, pipe })
            }
            Err(cause) => {
                drop(child.kill());
                Err(Trouble::io("starting the watchdog", cause))
            }
        }
    }

    /// Process number of the child.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.id(), name)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.watchdog.wait());
        drop(self.child.wait());
    }
}

/// Sends a signal, named as `kill` names it, to a process.
pub fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", r#"kill "-$1" "$2""#, "sh", name, &process.to_string()])
        .status()
        .map_err(|cause| Trouble::io("sending a signal", cause))?;
    if status.success() { Ok(()) } else { Err(Trouble::new(format!("no process {process}"))) }
}
