//! A PostgreSQL server that lives as long as a test.
//!
//! As root it runs under a uid without rights, because PostgreSQL refuses root. It listens on a
//! free loopback port and on a socket in its own folder under the temporary one. The data folder
//! is copied from a template, made once per version and kept beside it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::guard::Guarded;
use crate::locate::{self, run};
use crate::trouble::{Result, Trouble};
use crate::wire::Wire;

/// The superuser of every server.
pub const SUPERUSER: &str = "postgres";
/// Password of the superuser, for the modes that ask for one.
pub const PASSWORD: &str = "only-for-tests";
/// The uid and gid under which a server runs when we are root.
const NOBODY: u32 = 65_534;
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How the server asks for a proof on TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    Trust,
    /// SCRAM-SHA-256.
    Scram,
    /// MD5; the password is stored so.
    Md5,
    /// The password in clear text.
    Cleartext,
}

/// What kind of server is wanted.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Proof asked for on TCP. Over the Unix socket it is always trust.
    pub auth: Auth,
    /// Major version, or whatever there is.
    pub version: Option<u32>,
    /// Further lines for `postgresql.conf`.
    pub settings: Vec<String>,
}

/// A running server; dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct PgBox {
    /// Loopback port.
    pub port: u16,
    /// Folder of the Unix socket.
    pub socket_dir: PathBuf,
    /// Name of the superuser.
    pub superuser: &'static str,
    server: Guarded,
}

impl PgBox {
    /// Starts a server and waits until it answers.
    pub fn start(options: &Options) -> Result<Self> {
        let programs = match options.version {
            Some(major) => locate::version(major)?,
            None => locate::any()?,
        };
        let template = template(&programs)?;
        // A port can be taken between asking for a free one and using it.
        let mut last = Trouble::new("no attempt was made");
        for _ in 0..5 {
            match Self::attempt(&programs, &template, options) {
                Ok(running) => return Ok(running),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    fn attempt(programs: &Path, template: &Path, options: &Options) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-pg-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let data = folder.join("data");
        let port = free_port()?;
        let doing = |cause| Trouble::io(format!("preparing {}", folder.display()), cause);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).map_err(doing)?;
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(&data))?;
        fs::write(data.join("pg_hba.conf"), hba(options.auth)).map_err(doing)?;
        let configuration = settings(port, &folder, options);
        fs::write(data.join("postgresql.auto.conf"), configuration).map_err(doing)?;
        if is_root() {
            run(Command::new("chown").arg("-R").arg(format!("{NOBODY}:{NOBODY}")).arg(&folder))?;
        }
        let log = File::create(folder.join("log")).map_err(doing)?;
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        unprivileged(&mut command, &folder);
        command.process_group(0);
        let child = command.spawn().map_err(|e| Trouble::io("starting postgres", e))?;
        let server = Guarded::new(child, "QUIT", Some(&folder))?;
        let mut running = Self { port, socket_dir: folder, superuser: SUPERUSER, server };
        running.wait()?;
        if options.auth == Auth::Md5 {
            running.admin(
                "postgres",
                "SET password_encryption = 'md5'; ALTER ROLE postgres PASSWORD 'only-for-tests'",
            )?;
        }
        Ok(running)
    }

    /// Waits for the line that the server writes once it takes connections.
    fn wait(&mut self) -> Result<()> {
        let pidfile = self.socket_dir.join("data/postmaster.pid");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let state = fs::read_to_string(&pidfile).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if let Ok(Some(status)) = self.server.child().try_wait() {
                let said = self.log();
                return Err(Trouble::new(format!("postgres ended with {status}: {said}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(Trouble::new(format!("postgres did not start: {}", self.log())))
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.socket_dir.join("log")).unwrap_or_default()
    }

    /// A connection string for `database`, past the door.
    pub fn conn_string(&self, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={SUPERUSER} password={PASSWORD} dbname={database}",
            self.port
        )
    }

    /// Process number of the postmaster.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// Runs SQL directly, as superuser over the Unix socket, and gives what `psql -AtX` printed.
    pub fn admin(&self, database: &str, sql: &str) -> Result<String> {
        let output = Command::new("psql")
            .args(["-AtXq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database])
            .arg("-h")
            .arg(&self.socket_dir)
            .args(["-p", &self.port.to_string(), "-c", sql])
            .output()
            .map_err(|cause| Trouble::io("running psql", cause))?;
        if !output.status.success() {
            let said = String::from_utf8(output.stderr).unwrap_or_default();
            return Err(Trouble::new(format!("psql: {said}")));
        }
        String::from_utf8(output.stdout).map_err(|_bytes| Trouble::new("psql printed no text"))
    }

    /// Makes a database.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.admin("postgres", &format!("CREATE DATABASE \"{name}\"")).map(drop)
    }

    /// A direct raw connection (trust only).
    pub fn wire(&self, database: &str) -> Result<Wire> {
        Wire::login(self.port, &[("user", SUPERUSER), ("database", database)])
    }
}

fn hba(auth: Auth) -> String {
    let method = match auth {
        Auth::Trust => "trust",
        Auth::Scram => "scram-sha-256",
        Auth::Md5 => "md5",
        Auth::Cleartext => "password",
    };
    format!(
        "local all all trust\nhost all all 127.0.0.1/32 {method}\n\
         host replication all 127.0.0.1/32 {method}\n"
    )
}

fn settings(port: u16, folder: &Path, options: &Options) -> String {
    let folder = folder.display();
    let fixed = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{folder}'\n\
         fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = '32MB'\n\
         max_connections = 100\nlog_min_messages = warning\nautovacuum = off\n\
         max_prepared_transactions = 8\n"
    );
    options.settings.iter().fold(fixed, |text, line| text + line + "\n")
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let doing = |cause| Trouble::io("looking for a free port", cause);
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(doing)?;
    Ok(listener.local_addr().map_err(doing)?.port())
}

/// Whether we are root; `/proc/self` belongs to whoever runs us.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// Drops root, and starts in a folder that can still be read after that.
fn unprivileged(command: &mut Command, folder: &Path) {
    command.current_dir(folder).env_remove("PGDATA").env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// A data folder as `initdb` leaves it, made once per version.
fn template(programs: &Path) -> Result<PathBuf> {
    let output = Command::new(programs.join("postgres")).arg("--version").output();
    let output = output.map_err(|cause| Trouble::io("asking postgres for its version", cause))?;
    let version = String::from_utf8(output.stdout).unwrap_or_default();
    let version = version.split_whitespace().nth(2).unwrap_or("unknown").replace('/', "-");
    let owner = if is_root() { "nobody" } else { "own" };
    let parent = std::env::temp_dir().join(format!("portcullis-initdb-{owner}"));
    let home = parent.join(&version);
    let doing = |cause| Trouble::io(format!("preparing {}", home.display()), cause);
    fs::create_dir_all(&parent).map_err(doing)?;
    let lock = File::create(parent.join(format!("{version}.lock"))).map_err(doing)?;
    lock.lock().map_err(doing)?;
    if home.join("PG_VERSION").exists() {
        return Ok(home);
    }
    let work = parent.join(format!("{version}.part"));
    drop(fs::remove_dir_all(&work));
    fs::create_dir_all(&work).map_err(doing)?;
    fs::set_permissions(&work, fs::Permissions::from_mode(0o700)).map_err(doing)?;
    let password = parent.join(format!("{version}.password"));
    fs::write(&password, PASSWORD).map_err(doing)?;
    if is_root() {
        let owner = format!("{NOBODY}:{NOBODY}");
        run(Command::new("chown").arg(owner).arg(&work).arg(&password))?;
    }
    let mut command = Command::new(programs.join("initdb"));
    command.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]);
    command.args(["--wal-segsize=1", "-D"]).arg(&work).arg("--pwfile").arg(&password);
    unprivileged(&mut command, &parent);
    run(&mut command)?;
    drop(fs::remove_file(&password));
    fs::rename(&work, &home).map_err(doing)?;
    Ok(home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_server_answers_and_is_gone_afterwards() {
        let running = PgBox::start(&Options::default()).expect("starts");
        let mut wire = running.wire("postgres").expect("trusts us");
        let answer = wire.query("SELECT 40 + 2").expect("answers");
        assert_eq!(wire::tags(&answer), "T D C(SELECT 1) Z(I)");
        assert_eq!(running.admin("postgres", "SELECT 1").expect("answers"), "1\n");
        let (folder, port) = (running.socket_dir.clone(), running.port);
        drop(running);
        assert!(!folder.exists());
        assert!(Wire::connect(port).is_err());
    }

    #[test]
    fn a_password_is_asked_for() {
        let options = Options { auth: Auth::Scram, ..Options::default() };
        let running = PgBox::start(&options).expect("starts");
        assert!(running.wire("postgres").is_err());
    }
}
