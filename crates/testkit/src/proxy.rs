//! Starts the binary under test as a PostgreSQL door on a free port.
//!
//! The binary is given by path: this crate knows its command line and its `listening` line, and
//! nothing else of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::guard::Guarded;
use crate::trouble::{Result, Trouble};
use crate::wire::Wire;

/// How long the binary may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct ProxyOptions {
    /// The binary.
    pub binary: PathBuf,
    /// Upstream, as `host:port`.
    pub upstream: String,
    /// Text of the policy.
    pub policy: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Environment beside ours.
    pub environment: Vec<(String, String)>,
}

/// A running door; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Proxy {
    /// Loopback port.
    pub port: u16,
    /// Folder of ledger, key and policy.
    pub folder: PathBuf,
    process: Guarded,
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Proxy {
    /// Starts the binary and waits until it listens.
    pub fn start(options: &ProxyOptions) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-door-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let doing = |cause| Trouble::io(format!("preparing {}", folder.display()), cause);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).map_err(doing)?;
        let policies = folder.join("policies.yaml");
        fs::write(&policies, &options.policy).map_err(doing)?;
        let mut command = Command::new(&options.binary);
        command.args(["proxy", "--listen", "127.0.0.1:0", "--upstream", &options.upstream]);
        command.arg("--policies").arg(&policies);
        command.arg("--ledger-dir").arg(folder.join("ledger"));
        command.arg("--key-file").arg(folder.join("key"));
        command.args(["--admin", "off"]);
        command.args(&options.arguments).envs(options.environment.clone());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Trouble::io("starting the binary", e))?;
        let lines = Lines::default();
        let (sender, receiver) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            collect(output, Arc::clone(&lines), sender.clone());
        }
        if let Some(output) = child.stderr.take() {
            collect(output, Arc::clone(&lines), sender);
        }
        let process = Guarded::new(child, "KILL", Some(&folder))?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(port) => Ok(Self { port, folder, process, lines }),
            Err(_nothing) => {
                Err(Trouble::new(format!("the binary does not listen: {}", join(&lines))))
            }
        }
    }

    /// Everything it has printed.
    pub fn output(&self) -> String {
        join(&self.lines)
    }

    /// Waits until something that it printed contains `text`.
    pub fn wait_for(&self, text: &str, time: Duration) -> Result<()> {
        let began = Instant::now();
        while !self.output().contains(text) {
            if began.elapsed() > time {
                return Err(Trouble::new(format!("no `{text}` in: {}", self.output())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The ledger's folder.
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// The key file.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The policy file, to be replaced and reloaded.
    pub fn policies(&self) -> PathBuf {
        self.folder.join("policies.yaml")
    }

    /// Process number.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, named as `kill` names it.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits for its end.
    pub fn wait(&mut self, time: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            let ended = self.process.child().try_wait();
            if let Some(status) = ended.map_err(|e| Trouble::io("waiting for the binary", e))? {
                return Ok(status);
            }
            if began.elapsed() >= time {
                return Err(Trouble::new(format!("the binary does not end: {}", self.output())));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A raw connection through the door, logged in.
    pub fn wire(&self, user: &str, database: &str, application: &str) -> Result<Wire> {
        let parameters =
            [("user", user), ("database", database), ("application_name", application)];
        Wire::login(self.port, &parameters)
    }
}

/// Reads lines for as long as there are any, and sends the port of the `listening` line.
fn collect(output: impl Read + Send + 'static, lines: Lines, port: mpsc::Sender<u16>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if let Some(number) = listening(&line) {
                // Nobody may be waiting any more; the line is kept all the same.
                let _waiting = port.send(number).is_ok();
            }
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// The port in a line such as `… listening on 127.0.0.1:5433` or its JSON counterpart.
fn listening(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening")?;
    let (_, rest) = rest.split_once("127.0.0.1:")?;
    let digits = rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    digits.parse().ok()
}

fn join(lines: &Lines) -> String {
    lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

/// Runs the binary to its end and gives exit code, standard output and standard error.
pub fn run(binary: &Path, arguments: &[&str], input: &str) -> Result<(i32, String, String)> {
    let doing = |cause| Trouble::io("running the binary", cause);
    let mut command = Command::new(binary);
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(doing)?;
    let written = child.stdin.take().map(|mut pipe| {
        let input = input.to_owned();
        thread::spawn(move || std::io::Write::write_all(&mut pipe, input.as_bytes()))
    });
    let output = child.wait_with_output().map_err(doing)?;
    // A binary that does not read its input to the end closes the pipe: not our concern.
    drop(written.map(thread::JoinHandle::join));
    let text = |bytes| String::from_utf8(bytes).map_err(|_bytes| Trouble::new("not text"));
    Ok((output.status.code().unwrap_or(-1), text(output.stdout)?, text(output.stderr)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_text_and_json() {
        assert_eq!(listening("INFO listening on 127.0.0.1:5433"), Some(5433));
        assert_eq!(
            listening(r#"{"message":"listening","address":"127.0.0.1:41234"}"#),
            Some(41234)
        );
        assert_eq!(listening(r#"{"address":"127.0.0.1:41234"}"#), None);
    }
}
