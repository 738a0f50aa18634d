//! A model of the server, as far as names, order and transactions go. It follows `postgres.c`;
//! failures are chosen by the test.

use std::collections::{BTreeMap, VecDeque};

use pgwire::UpstreamTag;

/// A statement's number; what it does is looked up in [`Server::kinds`].
pub(crate) type Value = u32;

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Begin,
    Commit,
    Rollback,
    Prepare(Vec<u8>, Value),
    Deallocate(Option<Vec<u8>>),
    Declare(Vec<u8>, Value, bool),
    CloseCursor(Option<Vec<u8>>),
    DiscardAll,
    CopyIn,
    /// SQL EXECUTE: the name, and what it is believed to stand for.
    Run(Vec<u8>, Option<Value>),
}

/// What is believed about a name when a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belief {
    Is(Value),
    Missing,
    Nothing,
}

/// A message on its way to the server.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Parse(Vec<u8>, Value),
    Bind(Vec<u8>, Vec<u8>, Belief),
    DescribeStatement(Vec<u8>, Belief),
    DescribePortal(Vec<u8>, Belief),
    Execute(Vec<u8>, Belief),
    CloseStatement(Vec<u8>),
    ClosePortal(Vec<u8>),
    Query(Vec<Value>),
    FunctionCall,
    Sync,
    Flush,
    CopyData,
    CopyDone,
    CopyFail,
    /// A stand-in: its refusal, whether it answers at once, and a name believed to be missing.
    StandIn(StandIn, u32, bool, Option<(bool, Vec<u8>)>),
    /// Was not sent, because the server is believed to ignore everything.
    Dropped,
}

/// Which stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandIn {
    Query,
    UnnamedParse,
    Extended,
    FunctionCall,
}

/// A message of the server, and whether it is the error that a refusal has to replace.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) tag: UpstreamTag,
    pub(crate) body: Vec<u8>,
    pub(crate) replaced_by: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Idle,
    Transaction,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    No,
    Extended,
    /// A simple one, with the number of statements of its query that are done.
    Simple,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kinds: BTreeMap<Value, Kind>,
    pub(crate) statements: BTreeMap<Vec<u8>, Value>,
    /// With whether it outlives its transaction.
    pub(crate) portals: BTreeMap<Vec<u8>, (Value, bool)>,
    pub(crate) input: VecDeque<Message>,
    pub(crate) output: VecDeque<Answer>,
    /// How many of the answers have left.
    pub(crate) visible: usize,
    pub(crate) dead: bool,
    pub(crate) wrong: Option<String>,
    status: Status,
    skipping: bool,
    copy: Copy,
    rest: VecDeque<Value>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            kinds: BTreeMap::new(),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            input: VecDeque::new(),
            output: VecDeque::new(),
            visible: 0,
            dead: false,
            wrong: None,
            status: Status::Idle,
            skipping: false,
            copy: Copy::No,
            rest: VecDeque::new(),
        }
    }
}

impl Server {
    /// Handles the next message, if there is one. `fails` decides what the test wants to fail.
    pub(crate) fn step(&mut self, fails: &mut dyn FnMut() -> bool) -> bool {
        if self.dead {
            return false;
        }
        let Some(message) = self.input.pop_front() else { return false };
        match self.copy {
            Copy::No => self.handle(message, fails),
            Copy::Extended | Copy::Simple => self.handle_in_copy(&message, fails),
        }
        true
    }

    /// Whether it waits for COPY data.
    pub(crate) fn in_copy(&self) -> bool {
        self.copy != Copy::No
    }

    fn say(&mut self, tag: UpstreamTag, body: &[u8]) {
        self.output.push_back(Answer { tag, body: body.to_vec(), replaced_by: None });
    }

    fn flush(&mut self) {
        self.visible = self.output.len();
    }

    fn ready(&mut self) {
        let status: &[u8] = match self.status {
            Status::Idle => b"I",
            Status::Transaction => b"T",
            Status::Failed => b"E",
        };
        self.say(UpstreamTag::Ready, status);
        self.flush();
    }

    /// An error: the transaction fails, and an implicit one ends.
    fn error(&mut self, code: &str) {
        self.say(UpstreamTag::Error, format!("SERROR\0VERROR\0C{code}\0Mx\0\0").as_bytes());
        self.flush();
        match self.status {
            Status::Idle => self.abort(),
            Status::Transaction | Status::Failed => self.status = Status::Failed,
        }
    }

    fn extended_error(&mut self, code: &str) {
        self.error(code);
        self.skipping = true;
    }

    /// A transaction is rolled back: also cursors WITH HOLD that it made are gone.
    fn abort(&mut self) {
        self.portals.retain(|_, (_, held)| *held);
        self.status = Status::Idle;
    }

    fn commit(&mut self) {
        self.portals.retain(|_, (_, held)| *held);
        self.status = Status::Idle;
    }

    fn complain(&mut self, what: String) {
        if self.wrong.is_none() {
            self.wrong = Some(what);
        }
    }

    fn check_statement(&mut self, name: &[u8], belief: Belief, what: &str) {
        let has = self.statements.get(name).copied();
        let right = match belief {
            Belief::Is(value) => has == Some(value),
            Belief::Missing => has.is_none(),
            Belief::Nothing => true,
        };
        if !right {
            self.complain(format!("{what} {name:?}: believed {belief:?}, the server has {has:?}"));
        }
    }

    /// A portal that ended with its transaction makes the message fail, which is harmless.
    fn check_portal(&mut self, name: &[u8], belief: Belief, what: &str) {
        let has = self.portals.get(name).map(|(value, _)| *value);
        let right = match belief {
            Belief::Is(value) => has.is_none_or(|has| has == value),
            Belief::Missing => has.is_none(),
            Belief::Nothing => true,
        };
        if !right {
            self.complain(format!("{what} {name:?}: believed {belief:?}, the server has {has:?}"));
        }
    }

    fn handle_in_copy(&mut self, message: &Message, fails: &mut dyn FnMut() -> bool) {
        match message {
            Message::Sync | Message::Flush => {}
            Message::CopyData if !fails() => {}
            Message::CopyData => self.copy_fails("22P04"),
            Message::CopyFail => self.copy_fails("57014"),
            Message::CopyDone if fails() => self.copy_fails("23505"),
            Message::CopyDone => {
                let simple = self.copy == Copy::Simple;
                self.copy = Copy::No;
                self.say(UpstreamTag::CommandComplete, b"COPY 1\0");
                if simple {
                    self.go_on(fails);
                }
            }
            Message::Dropped => self.complain("dropped in COPY".to_owned()),
            Message::Parse(..)
            | Message::Bind(..)
            | Message::DescribeStatement(..)
            | Message::DescribePortal(..)
            | Message::Execute(..)
            | Message::CloseStatement(_)
            | Message::ClosePortal(_)
            | Message::Query(_)
            | Message::FunctionCall
            | Message::StandIn(..) => {
                self.say(UpstreamTag::Error, b"SERROR\0VERROR\0C08P01\0Mx\0\0");
                self.say(UpstreamTag::Error, b"SFATAL\0VFATAL\0C08P01\0Mx\0\0");
                self.flush();
                self.dead = true;
            }
        }
    }

    fn copy_fails(&mut self, code: &str) {
        let simple = self.copy == Copy::Simple;
        self.copy = Copy::No;
        self.rest.clear();
        if simple {
            self.error(code);
            self.ready();
        } else {
            self.extended_error(code);
        }
    }

    fn handle(&mut self, message: Message, fails: &mut dyn FnMut() -> bool) {
        if self.skipping && !matches!(message, Message::Sync) {
            return;
        }
        match message {
            Message::Sync => self.sync(fails),
            Message::Flush => self.flush(),
            Message::CopyData | Message::CopyDone | Message::CopyFail => {}
            Message::Parse(name, value) => self.parse(name, value, fails),
            Message::Bind(portal, name, belief) => self.bind(portal, &name, belief, fails),
            Message::DescribeStatement(name, belief) => {
                self.check_statement(&name, belief, "Describe");
                if !self.statements.contains_key(&name) {
                    return self.extended_error("26000");
                }
                self.say(UpstreamTag::ParameterDescription, b"\0\0");
                let rows = if fails() { UpstreamTag::NoData } else { UpstreamTag::RowDescription };
                self.say(rows, b"");
            }
            Message::DescribePortal(name, belief) => {
                self.check_portal(&name, belief, "Describe");
                if !self.portals.contains_key(&name) {
                    return self.extended_error("34000");
                }
                let rows = if fails() { UpstreamTag::NoData } else { UpstreamTag::RowDescription };
                self.say(rows, b"");
            }
            Message::Execute(name, belief) => self.execute(&name, belief, fails),
            Message::CloseStatement(name) => {
                self.statements.remove(&name);
                self.say(UpstreamTag::CloseComplete, b"");
            }
            Message::ClosePortal(name) => {
                self.portals.remove(&name);
                self.say(UpstreamTag::CloseComplete, b"");
            }
            Message::Query(values) => self.query(values, fails),
            Message::FunctionCall => {
                if self.status == Status::Failed {
                    self.error("25P02");
                } else if fails() {
                    self.error("42883");
                } else {
                    self.say(UpstreamTag::FunctionResult, b"\0\0\0\0");
                    self.end_statement();
                }
                self.ready();
            }
            Message::StandIn(which, refusal, at_once, missing) => {
                self.stand_in(which, refusal, at_once, missing);
            }
            Message::Dropped => {
                self.complain("a message was dropped that the server would hear".to_owned());
            }
        }
    }

    fn sync(&mut self, fails: &mut dyn FnMut() -> bool) {
        let skipped = std::mem::replace(&mut self.skipping, false);
        if self.status == Status::Idle {
            if !skipped && fails() {
                // A deferred constraint.
                self.error("23505");
            } else {
                self.commit();
            }
        }
        self.ready();
    }

    /// An implicit transaction ends with its simple message.
    fn end_statement(&mut self) {
        if self.status == Status::Idle {
            self.commit();
        }
    }

    fn parse(&mut self, name: Vec<u8>, value: Value, fails: &mut dyn FnMut() -> bool) {
        if name.is_empty() {
            self.statements.remove(&name);
        }
        let ends = matches!(self.kinds.get(&value), Some(Kind::Commit | Kind::Rollback));
        if fails() {
            return self.extended_error("42601");
        }
        if self.status == Status::Failed && !ends {
            return self.extended_error("25P02");
        }
        if self.statements.contains_key(&name) {
            return self.extended_error("42P05");
        }
        self.statements.insert(name, value);
        self.say(UpstreamTag::ParseComplete, b"");
    }

    fn bind(
        &mut self,
        portal: Vec<u8>,
        name: &[u8],
        belief: Belief,
        fails: &mut dyn FnMut() -> bool,
    ) {
        self.check_statement(name, belief, "Bind");
        let Some(value) = self.statements.get(name).copied() else {
            return self.extended_error("26000");
        };
        let ends = matches!(self.kinds.get(&value), Some(Kind::Commit | Kind::Rollback));
        if self.status == Status::Failed && !ends {
            return self.extended_error("25P02");
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return self.extended_error("42P03");
        }
        // The unnamed one is replaced before the values are read.
        self.portals.remove(&portal);
        if fails() {
            return self.extended_error("22P02");
        }
        self.portals.insert(portal, (value, false));
        self.say(UpstreamTag::BindComplete, b"");
    }

    fn execute(&mut self, name: &[u8], belief: Belief, fails: &mut dyn FnMut() -> bool) {
        self.check_portal(name, belief, "Execute");
        let Some((value, _)) = self.portals.get(name).copied() else {
            return self.extended_error("34000");
        };
        let kind = self.kinds.get(&value).cloned().unwrap_or(Kind::Plain);
        if kind == Kind::CopyIn && self.status != Status::Failed {
            self.say(UpstreamTag::CopyIn, b"\0\0\0");
            self.flush();
            self.copy = Copy::Extended;
            return;
        }
        match self.run(&kind, fails) {
            Ok(()) if kind == Kind::Plain && fails() => {
                self.say(UpstreamTag::DataRow, b"");
                self.say(UpstreamTag::PortalSuspended, b"");
            }
            Ok(()) => self.say(UpstreamTag::CommandComplete, b"SELECT 1\0"),
            Err(code) => self.extended_error(code),
        }
    }

    fn query(&mut self, values: Vec<Value>, fails: &mut dyn FnMut() -> bool) {
        self.statements.remove(&b""[..]);
        if fails() {
            self.error("42601");
            return self.ready();
        }
        if values.is_empty() {
            self.say(UpstreamTag::EmptyQuery, b"");
        }
        self.rest = values.into();
        self.go_on(fails);
    }

    /// Runs the statements of a query that are left.
    fn go_on(&mut self, fails: &mut dyn FnMut() -> bool) {
        while let Some(value) = self.rest.pop_front() {
            // Each statement runs in the unnamed portal.
            self.portals.remove(&b""[..]);
            let kind = self.kinds.get(&value).cloned().unwrap_or(Kind::Plain);
            if kind == Kind::CopyIn && self.status != Status::Failed {
                self.say(UpstreamTag::CopyIn, b"\0\0\0");
                self.flush();
                self.copy = Copy::Simple;
                return;
            }
            match self.run(&kind, fails) {
                Ok(()) => self.say(UpstreamTag::CommandComplete, b"SELECT 1\0"),
                Err(code) => {
                    self.rest.clear();
                    self.error(code);
                    return self.ready();
                }
            }
        }
        self.end_statement();
        self.ready();
    }

    fn run(&mut self, kind: &Kind, fails: &mut dyn FnMut() -> bool) -> Result<(), &'static str> {
        let ends = matches!(kind, Kind::Commit | Kind::Rollback);
        if self.status == Status::Failed && !ends {
            return Err("25P02");
        }
        if !ends && fails() {
            return Err("22012");
        }
        match kind {
            Kind::Plain | Kind::CopyIn => {}
            Kind::Begin => self.status = Status::Transaction,
            Kind::Commit if self.status != Status::Failed => self.commit(),
            Kind::Commit | Kind::Rollback => self.abort(),
            Kind::Prepare(name, value) => {
                if self.statements.contains_key(name) {
                    return Err("42P05");
                }
                self.statements.insert(name.clone(), *value);
            }
            Kind::Deallocate(Some(name)) => {
                self.statements.remove(name).ok_or("26000")?;
            }
            Kind::Deallocate(None) => self.statements.clear(),
            Kind::Declare(name, value, hold) => {
                if !hold && self.status == Status::Idle {
                    return Err("25P01");
                }
                if self.portals.contains_key(name) {
                    return Err("42P03");
                }
                self.portals.insert(name.clone(), (*value, *hold));
            }
            Kind::CloseCursor(Some(name)) => {
                self.portals.remove(name).ok_or("34000")?;
            }
            Kind::CloseCursor(None) => self.portals.clear(),
            Kind::DiscardAll => {
                if self.status != Status::Idle {
                    return Err("25001");
                }
                self.statements.clear();
                self.portals.clear();
            }
            Kind::Run(name, value) => {
                self.check_statement(name, value.map_or(Belief::Nothing, Belief::Is), "EXECUTE");
                if !self.statements.contains_key(name) {
                    return Err("26000");
                }
            }
        }
        Ok(())
    }

    fn stand_in(
        &mut self,
        which: StandIn,
        refusal: u32,
        at_once: bool,
        missing: Option<(bool, Vec<u8>)>,
    ) {
        match missing {
            Some((true, name)) => self.check_statement(&name, Belief::Missing, "stand-in for"),
            Some((false, name)) => self.check_portal(&name, Belief::Missing, "stand-in for"),
            None => {}
        }
        if matches!(which, StandIn::Query | StandIn::UnnamedParse) {
            self.statements.remove(&b""[..]);
        }
        let failed = self.status == Status::Failed;
        let code = match which {
            _ if failed => "25P02",
            StandIn::FunctionCall => "42883",
            StandIn::Query | StandIn::UnnamedParse | StandIn::Extended => "42703",
        };
        self.error(code);
        if let Some(error) = self.output.back_mut() {
            error.replaced_by = (!failed || at_once).then_some(refusal);
        }
        match which {
            StandIn::Query | StandIn::FunctionCall => self.ready(),
            StandIn::UnnamedParse | StandIn::Extended => self.skipping = true,
        }
    }
}
