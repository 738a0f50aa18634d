//! From the first byte to the first `ReadyForQuery`.
//!
//! Authentication is relayed one to one: passwords and SCRAM proofs pass, none is kept, none is
//! logged. One deadline covers all of it.

use std::io;
use std::sync::Arc;

use model::{Fact, Principal, SettingUse, SqlFacts, Stage};
use pgwire::limits::{MAX_AUTH_BYTES, MAX_STARTUP_BYTES};
use pgwire::{
    ClientTag, HEADER_BYTES, NegotiateVersion, Opening, StartupError, StartupMessage, UpstreamTag,
    Version, Violation, client_header, decode_opening, encode_startup, opening_length,
    upstream_header,
};
use policy::{Reason, ReasonCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::cancel::{BackendKey, cancel};
use super::judge::Judge;
use super::reading::Reading;
use super::refusal::{Record, fatal, recorded};
use super::session::LoggedIn;
use crate::Shared;
use crate::buffer::{InBuffer, OutBuffer};
use crate::gate::{Analysed, Asked, Batch, Ruling};
use crate::limits::CONNECT_TIMEOUT;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSession {
    /// It was not meant to be one: a cancel request, or the client left.
    #[error("no session was asked for")]
    NotAsked,
    /// Refused, and the client was told.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The upstream refused, and the client was told.
    #[error("the upstream refused")]
    UpstreamRefused,
    /// A socket failed.
    #[error("connection lost")]
    Lost(#[from] io::Error),
}

struct Login {
    shared: Arc<Shared>,
    client: TcpStream,
    from_client: InBuffer,
}

/// Logs a connection in.
///
/// # Errors
/// Whatever keeps it from becoming a session.
pub(crate) async fn login(
    shared: Arc<Shared>,
    client: TcpStream,
    session: String,
) -> Result<LoggedIn, NoSession> {
    let deadline = Instant::now() + shared.settings.handshake_timeout;
    let mut login = Login { shared, client, from_client: InBuffer::default() };
    let startup = match timeout_at(deadline, login.opening()).await {
        Ok(startup) => startup?,
        Err(_elapsed) => return Err(NoSession::Refused("the startup packet took too long")),
    };
    match timeout_at(deadline, Box::pin(login.connect(startup, session))).await {
        Ok(done) => done,
        Err(_elapsed) => Err(NoSession::Refused("authentication took too long")),
    }
}

impl Login {
    async fn refuse(&mut self, code: &str, message: &'static str, hint: Option<&str>) -> NoSession {
        let mut out = Vec::new();
        fatal(code, message, None, hint, &mut out);
        self.end(&out, message).await
    }

    async fn refuse_recorded(
        &mut self,
        (code, message): (&str, &'static str),
        detail: &str,
        hint: &str,
    ) -> NoSession {
        let mut out = Vec::new();
        fatal(code, message, Some(detail), Some(hint), &mut out);
        self.end(&out, message).await
    }

    async fn end(&mut self, out: &[u8], message: &'static str) -> NoSession {
        match self.client.write_all(out).await {
            Ok(()) => match self.client.shutdown().await {
                Ok(()) | Err(_) => NoSession::Refused(message),
            },
            Err(error) => NoSession::Lost(error),
        }
    }

    async fn fill(&mut self) -> Result<(), NoSession> {
        match fill(&mut self.from_client, &mut self.client, MAX_AUTH_BYTES).await {
            Ok(0) => Err(NoSession::NotAsked),
            Ok(_) => Ok(()),
            Err(error) => Err(NoSession::Lost(error)),
        }
    }

    /// Reads up to the `StartupMessage`.
    async fn opening(&mut self) -> Result<StartupMessage, NoSession> {
        let (mut ssl, mut gss) = (false, false);
        loop {
            let opening = match self.packet().await? {
                Ok(opening) => opening,
                Err(error) => return Err(self.bad_startup(error).await),
            };
            let asked = match opening {
                Opening::Startup(startup) => return Ok(startup),
                Opening::Cancel { pid, secret } => {
                    self.cancel(BackendKey { pid, secret }).await;
                    return Err(NoSession::NotAsked);
                }
                Opening::Ssl => &mut ssl,
                Opening::GssEnc => &mut gss,
            };
            if std::mem::replace(asked, true) {
                return Err(self.refuse("08P01", "encryption was asked for twice", None).await);
            }
            if !self.from_client.filled().is_empty() {
                // What came before the answer could be somebody else's (CVE-2021-23214).
                let message = "received unencrypted data after SSL request";
                return Err(self.refuse("08P01", message, None).await);
            }
            self.client.write_all(b"N").await?;
        }
    }

    async fn packet(&mut self) -> Result<Result<Opening, StartupError>, NoSession> {
        loop {
            let filled = self.from_client.filled();
            let length = match opening_length(filled) {
                Ok(length) => length,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(packet) = length.and_then(|length| filled.get(..length)) {
                let opening = decode_opening(packet);
                let length = packet.len();
                self.from_client.consume(length);
                return Ok(opening);
            }
            self.fill().await?;
        }
    }

    async fn bad_startup(&mut self, error: StartupError) -> NoSession {
        let (code, message, hint) = match error {
            StartupError::Length => ("08P01", "invalid length of startup packet", None),
            StartupError::Layout => ("08P01", "invalid startup packet layout", None),
            StartupError::TooMany => ("08P01", "too many startup parameters", None),
            StartupError::Version => ("0A000", "unsupported frontend protocol", None),
            StartupError::Encoding => (
                "22021",
                "startup parameters must be UTF-8",
                Some("Use UTF-8 names for the user and the database."),
            ),
        };
        self.refuse(code, message, hint).await
    }

    async fn cancel(&mut self, key: BackendKey) {
        if !self.shared.cancels.knows(&key) {
            return;
        }
        if let Err(error) = cancel(&self.shared.settings.upstream, &key).await {
            tracing::warn!(%error, "a cancel request could not be handed on");
        }
    }

    /// Whether what a catalog says can change what this principal may do.
    fn needs_catalog(&self, who: &Principal) -> bool {
        let gate = &self.shared.gate;
        gate.enforces(who) && gate.in_force().policy.rests_on_catalog(who)
    }

    /// By a catalog of one database nothing can be said of another.
    async fn other_database(&mut self, who: &Principal, session: &str) -> NoSession {
        let record = match self.refuse_login(who, session, ReasonCode::OtherDatabase).await {
            Ok(record) => record,
            Err(ended) => return ended,
        };
        let message =
            "[BLOCKED by Portcullis] other_database: this door has a catalog of another database";
        let hint = Reason::of(ReasonCode::OtherDatabase).suggestion();
        self.refuse_recorded(("42501", message), &recorded(&record), &hint).await
    }

    /// Records that a connection is refused, whatever it would send.
    async fn refuse_login(
        &mut self,
        who: &Principal,
        session: &str,
        code: ReasonCode,
    ) -> Result<Record, NoSession> {
        let mut batch = Batch::default();
        let facts = Arc::new(SqlFacts::of(model::Operation::Unknown));
        let analysed = Analysed::one(&[], &[], Stage::Startup, facts);
        self.shared.gate.refuse(&analysed, code, &mut batch);
        self.record(who, session, &mut batch).await
    }

    /// A walsender takes statements that no SQL parser reads, and sends everybody's rows.
    async fn replication(&mut self, who: &Principal, session: &str) -> NoSession {
        let record = match self.refuse_login(who, session, ReasonCode::ReplicationNotAllowed).await
        {
            Ok(record) => record,
            Err(ended) => return ended,
        };
        let message = "replication is not allowed through Portcullis";
        let hint =
            "Replication connections carry statements that cannot be judged. Connect directly.";
        self.refuse_recorded(("28000", message), &recorded(&record), hint).await
    }

    async fn connect(
        mut self,
        startup: StartupMessage,
        session: String,
    ) -> Result<LoggedIn, NoSession> {
        let Some(user) = startup.get("user").filter(|user| !user.is_empty()).map(str::to_owned)
        else {
            let message = "no PostgreSQL user name specified in startup packet";
            return Err(self.refuse("28000", message, None).await);
        };
        let mut who = Principal::asserted(startup.get("application_name").unwrap_or_default());
        who.on_behalf_of = Some(user.clone());
        let who = Arc::new(who);
        if asks_for_replication(&startup) {
            return Err(self.replication(&who, &session).await);
        }
        let database = startup.get("database").filter(|name| !name.is_empty()).unwrap_or(&user);
        let elsewhere = self.shared.catalog.as_ref().filter(|live| !live.serves(database));
        let elsewhere = elsewhere.is_some();
        if elsewhere && self.needs_catalog(&who) {
            return Err(self.other_database(&who, &session).await);
        }
        let reading = self.judge_startup(&startup, &who, &session, (&user, elsewhere)).await?;
        let mut parameters: Vec<(String, String)> =
            startup.parameters.iter().filter(|(name, _)| name != "replication").cloned().collect();
        if let Some(pinned) = reading.1 {
            parameters.push(("search_path".to_owned(), pinned));
        }
        let mut upstream = self.dial().await?;
        let version = startup.version.negotiated();
        let packet = match encode_startup(version, &parameters) {
            Ok(packet) => packet,
            Err(error) => return Err(self.bad_startup(error).await),
        };
        upstream.write_all(&packet).await?;
        let judge =
            Judge::new(Arc::clone(&self.shared), session, who, reading.0).elsewhere(elsewhere);
        self.relay_login(upstream, &startup, judge).await
    }

    async fn dial(&mut self) -> Result<TcpStream, NoSession> {
        let address = self.shared.settings.upstream.clone();
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
            Ok(Ok(upstream)) => {
                upstream.set_nodelay(true)?;
                Ok(upstream)
            }
            Ok(Err(error)) => {
                tracing::error!(upstream = %address, %error, "the upstream cannot be reached");
                let hint = "Is PostgreSQL running, and is --upstream right?";
                Err(self
                    .refuse("08006", "could not connect to the upstream database", Some(hint))
                    .await)
            }
            Err(_elapsed) => {
                tracing::error!(upstream = %address, "the upstream does not answer");
                Err(self.refuse("08006", "the upstream database does not answer", None).await)
            }
        }
    }

    /// Judges the startup parameters. Gives how the session will be read, and the search path
    /// that has to be pinned.
    async fn judge_startup(
        &mut self,
        startup: &StartupMessage,
        who: &Arc<Principal>,
        session: &str,
        (user, elsewhere): (&str, bool),
    ) -> Result<(Reading, Option<String>), NoSession> {
        let settings = sql::startup_settings(&startup.parameters);
        let mut facts = SqlFacts::of(model::Operation::Set);
        facts.operations = Fact::Known(Vec::new());
        let mut sorted = settings.clone();
        sorted.sort_unstable();
        sorted.dedup();
        facts.settings = Fact::Known(sorted);
        let in_force = self.shared.gate.in_force();
        let guards = in_force.policy.guards_settings();
        let mut batch = Batch::default();
        let analysed = Analysed::one(&[], &[], Stage::Startup, Arc::new(facts));
        let asked = Asked { who, in_force: &in_force };
        let ruling = self.shared.gate.judge(asked, &analysed, &mut batch);
        let record = self.record(who, session, &mut batch).await?;
        if let Ruling::Refuse(decision) = ruling {
            // Who may run nothing is told so statement by statement; here only settings count.
            let guarded = decision.reasons().iter().find(|reason| about_settings(reason.code()));
            if let Some(reason) = guarded {
                let mut out = Vec::new();
                let message = format!("[BLOCKED by Portcullis] {reason}");
                let detail = recorded(&record);
                fatal("42501", &message, Some(&detail), Some(&reason.suggestion()), &mut out);
                self.client.write_all(&out).await?;
                self.client.shutdown().await?;
                return Err(NoSession::Refused("a startup parameter is not allowed"));
            }
        }
        Ok(self.reading(&settings, (user, elsewhere), guards))
    }

    /// Records what a connection was told. Gives the record.
    async fn record(
        &mut self,
        who: &Principal,
        session: &str,
        batch: &mut Batch,
    ) -> Result<Record, NoSession> {
        let Ok((recorded, clearing)) = self.shared.gate.clear(session, who, batch) else {
            return Err(self.unrecorded().await);
        };
        if crate::gate::cleared(clearing).await.is_err() {
            return Err(self.unrecorded().await);
        }
        Ok(recorded.map(|recorded| recorded.id(0).to_string()))
    }

    fn reading(
        &self,
        settings: &[SettingUse],
        (user, elsewhere): (&str, bool),
        guards: bool,
    ) -> (Reading, Option<String>) {
        // Of several, the server takes the last one.
        let last = settings.iter().rfind(|setting| setting.name == "search_path");
        let given = last.map(|setting| match &setting.value {
            model::SettingValue::Constants(values) => match values.as_slice() {
                [value] => sql::parse_search_path(value),
                _ => None,
            },
            model::SettingValue::Default | model::SettingValue::Unknown => None,
        });
        let path = match given {
            Some(path) => path,
            None if guards => Some(self.shared.settings.search_path.clone()),
            // Nobody guards the path, so nobody relies on it: leave what the server has.
            None => None,
        };
        let ends = guards && self.shared.catalog.is_some() && !elsewhere;
        let ended = path.as_deref().filter(|_| ends).and_then(ending_in_temporary);
        let mut reading = match &ended {
            Some(path) => Reading::new(user, Some(path)).pinned(),
            None => Reading::new(user, path.as_deref()),
        };
        reading.on_settings(&Fact::Known(settings.to_vec()));
        // Beside a path in `options` the server takes the parameter, and of two the last.
        let pin = ended.or_else(|| path.filter(|_| guards && last.is_none()));
        (reading, pin.as_deref().map(quote_path))
    }

    async fn unrecorded(&mut self) -> NoSession {
        let hint = "Somebody has to look at the ledger of Portcullis: its disk may be full.";
        self.refuse("58030", "the connection could not be recorded", Some(hint)).await
    }

    /// Relays authentication until the server is ready.
    async fn relay_login(
        mut self,
        mut upstream: TcpStream,
        startup: &StartupMessage,
        judge: Judge,
    ) -> Result<LoggedIn, NoSession> {
        let mut relay = Relay {
            version: startup.version.negotiated(),
            told: startup.version == startup.version.negotiated() && startup.extensions.is_empty(),
            state: AuthState::Asked,
            key: None,
            from_upstream: InBuffer::default(),
            to_client: OutBuffer::default(),
            judge,
        };
        loop {
            match relay.step(startup) {
                Ok(Progress::Ready) => break,
                Ok(Progress::Refused) => {
                    self.client.write_all(relay.to_client.tail()).await?;
                    self.client.shutdown().await?;
                    return Err(NoSession::UpstreamRefused);
                }
                Ok(Progress::More) => {}
                Err(violation) => {
                    return Err(self.refuse("08P01", violation.what(), None).await);
                }
            }
            self.client.write_all(relay.to_client.tail()).await?;
            relay.to_client = OutBuffer::default();
            if relay.state == AuthState::PasswordDue && self.password(&mut upstream).await? {
                relay.state = AuthState::Asked;
                continue;
            }
            self.wait(&mut upstream, &mut relay).await?;
        }
        let Relay { from_upstream, to_client, key, judge, .. } = relay;
        if let Some(key) = &key {
            self.shared.cancels.insert(key);
        }
        let Self { client, from_client, .. } = self;
        Ok(LoggedIn { client, upstream, from_client, from_upstream, to_client, key, judge })
    }

    /// Hands one password or SASL message on, if it is here.
    async fn password(&mut self, upstream: &mut TcpStream) -> Result<bool, NoSession> {
        let filled = self.from_client.filled();
        let header = match client_header(filled) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(false),
            Err(violation) => return Err(self.refuse("08P01", violation.what(), None).await),
        };
        if header.tag != ClientTag::Password || header.body > MAX_AUTH_BYTES {
            return Err(self.refuse("08P01", "expected password response", None).await);
        }
        let Some(frame) = filled.get(..header.frame()) else { return Ok(false) };
        upstream.write_all(frame).await?;
        let length = frame.len();
        self.from_client.consume(length);
        Ok(true)
    }

    /// Waits for either side.
    async fn wait(&mut self, upstream: &mut TcpStream, relay: &mut Relay) -> Result<(), NoSession> {
        // A client that sends ahead is not read any further: its frames come after login.
        let hears = relay.state == AuthState::PasswordDue || self.from_client.filled().is_empty();
        tokio::select! {
            read = fill(&mut relay.from_upstream, upstream, MAX_AUTH_BYTES) => match read? {
                0 => {
                    let message = "the upstream closed the connection during login";
                    Err(self.refuse("08006", message, None).await)
                }
                _ => Ok(()),
            },
            read = fill(&mut self.from_client, &mut self.client, MAX_AUTH_BYTES), if hears => {
                match read? {
                    0 => Err(NoSession::NotAsked),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Whether the startup packet asks for a walsender, as the server reads the word.
fn asks_for_replication(startup: &StartupMessage) -> bool {
    let Some(value) = startup.get("replication").map(str::to_ascii_lowercase) else { return false };
    let off = ["false", "no", "off", "0"]
        .iter()
        .any(|word| !value.is_empty() && word.starts_with(&value) && value != "o");
    !off
}

enum Progress {
    More,
    Ready,
    Refused,
}

/// How far authentication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthState {
    /// The server has something to say.
    Asked,
    /// The client has.
    PasswordDue,
    /// The server is satisfied.
    Done,
}

struct Relay {
    version: Version,
    /// Whether the client knows the version that is spoken.
    told: bool,
    state: AuthState,
    key: Option<BackendKey>,
    from_upstream: InBuffer,
    to_client: OutBuffer,
    judge: Judge,
}

impl Relay {
    /// Relays every whole frame that is there.
    fn step(&mut self, startup: &StartupMessage) -> Result<Progress, Violation> {
        loop {
            let filled = self.from_upstream.filled();
            let Some(header) = upstream_header(filled)? else { return Ok(Progress::More) };
            if header.frame() > MAX_AUTH_BYTES {
                return Err(Violation::upstream("the upstream's login message is too long"));
            }
            let Some(frame) = filled.get(..header.frame()).map(<[u8]>::to_vec) else {
                return Ok(Progress::More);
            };
            self.from_upstream.consume(frame.len());
            if let Some(progress) = self.frame(header.tag, &frame, startup)? {
                return Ok(progress);
            }
        }
    }

    fn frame(
        &mut self,
        tag: UpstreamTag,
        frame: &[u8],
        startup: &StartupMessage,
    ) -> Result<Option<Progress>, Violation> {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        if tag == UpstreamTag::NegotiateVersion {
            let theirs = NegotiateVersion::decode_version(body).unwrap_or(self.version);
            self.version = self.version.min(theirs);
            self.told = false;
        }
        if !self.told && !matches!(tag, UpstreamTag::Error | UpstreamTag::Notice) {
            let told = NegotiateVersion { version: self.version, extensions: &startup.extensions };
            told.encode(self.to_client.tail());
            self.told = true;
        }
        match tag {
            UpstreamTag::NegotiateVersion => return Ok(None),
            UpstreamTag::Authentication => {
                let kind =
                    body.first_chunk::<4>().map_or(u32::MAX, |word| u32::from_be_bytes(*word));
                self.state = match kind {
                    0 => AuthState::Done,
                    // AuthenticationSASLFinal: the server's last word, nothing to answer.
                    12 => AuthState::Asked,
                    _ => AuthState::PasswordDue,
                };
            }
            UpstreamTag::ParameterStatus if self.state == AuthState::Done => {
                self.judge.answer(tag, body)?;
            }
            UpstreamTag::BackendKeyData if self.state == AuthState::Done => {
                if let Some((pid, secret)) = body.split_first_chunk::<4>() {
                    let pid = u32::from_be_bytes(*pid);
                    self.key = Some(BackendKey { pid, secret: secret.to_vec() });
                }
            }
            UpstreamTag::Notice => {}
            UpstreamTag::Error => {
                self.to_client.push(frame);
                return Ok(Some(Progress::Refused));
            }
            UpstreamTag::Ready if self.state == AuthState::Done => {
                self.to_client.push(frame);
                return Ok(Some(Progress::Ready));
            }
            UpstreamTag::ParameterStatus
            | UpstreamTag::BackendKeyData
            | UpstreamTag::Ready
            | UpstreamTag::BindComplete
            | UpstreamTag::CloseComplete
            | UpstreamTag::CommandComplete
            | UpstreamTag::CopyBoth
            | UpstreamTag::CopyData
            | UpstreamTag::CopyDone
            | UpstreamTag::CopyIn
            | UpstreamTag::CopyOut
            | UpstreamTag::DataRow
            | UpstreamTag::EmptyQuery
            | UpstreamTag::FunctionResult
            | UpstreamTag::NoData
            | UpstreamTag::Notification
            | UpstreamTag::ParameterDescription
            | UpstreamTag::ParseComplete
            | UpstreamTag::PortalSuspended
            | UpstreamTag::RowDescription => {
                return Err(Violation::upstream("the upstream sent an unexpected login message"));
            }
        }
        self.to_client.push(frame);
        Ok(None)
    }
}

async fn fill(buffer: &mut InBuffer, stream: &mut TcpStream, wanted: usize) -> io::Result<usize> {
    std::future::poll_fn(|cx| buffer.poll_fill(cx, stream, wanted.max(MAX_STARTUP_BYTES))).await
}

fn about_settings(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::SettingNotAllowed | ReasonCode::UnknownSettings)
}

/// The path with temporary relations last; `None` if it says itself where they come.
fn ending_in_temporary(path: &[String]) -> Option<Vec<String>> {
    // Where there is no schema at all, nothing is made.
    let says = path.is_empty() || path.iter().any(|schema| schema.starts_with("pg_temp"));
    let mut path = path.to_vec();
    path.push("pg_temp".to_owned());
    (!says).then_some(path)
}

fn quote_path(path: &[String]) -> String {
    let plain = |schema: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        schema.bytes().next().is_some_and(letter)
            && schema.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
    };
    let quote = |schema: &String| {
        if plain(schema) { schema.clone() } else { format!("\"{}\"", schema.replace('"', "\"\"")) }
    };
    let quoted: Vec<String> = path.iter().map(quote).collect();
    quoted.join(", ")
}
