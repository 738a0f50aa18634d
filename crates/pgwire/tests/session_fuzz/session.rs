//! Random clients, the machine, and the model of the server, with everything in between delayed
//! at random.

use std::collections::BTreeSet;

use pgwire::{
    Change, Definition, Effects, Lookup, NameKind, Passive, Protocol, Refused, Submitted,
    UpstreamStep, UpstreamTag,
};
use proptest::prelude::*;

use super::config;
use super::model::{Belief, Kind, Message, Server, StandIn, Value};

/// Numbers that the test runner chose, and can make smaller.
struct Choices<'a> {
    numbers: std::slice::Iter<'a, u16>,
    ended: bool,
}

impl Choices<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let Some(number) = self.numbers.next() else {
            self.ended = true;
            return 0;
        };
        usize::from(*number) % limit
    }

    fn chance(&mut self, percent: usize) -> bool {
        // 0, to which numbers shrink, is no.
        self.below(100) >= 100 - percent
    }
}

/// Everything at once.
struct World {
    machine: Protocol<Value, u32>,
    server: Server,
    values: Value,
    tickets: u64,
    open: BTreeSet<u64>,
    refusals: u32,
    log: Vec<String>,
    /// What the client will send next, if that is decided: the rest of a COPY.
    planned: Vec<Planned>,
    /// Whether the client sends COPY messages wherever it likes. Then the machine may lose track
    /// and end the session; what it says until then still has to be true.
    wild: bool,
}

#[derive(Debug, Clone, Copy)]
enum Planned {
    Sync,
    Data,
    Done,
    Fail,
}

const NAMES: [&[u8]; 4] = [b"", b"a", b"b", b"c"];

/// What goes on unchanged is something.
fn passed(passive: Passive<'_>) {
    assert!(!passive.bytes().is_empty());
}

fn name(choices: &mut Choices<'_>) -> Vec<u8> {
    NAMES[choices.below(NAMES.len())].to_vec()
}

fn sql_name(choices: &mut Choices<'_>) -> Vec<u8> {
    NAMES[1 + choices.below(NAMES.len() - 1)].to_vec()
}

impl World {
    fn new() -> Self {
        Self {
            machine: Protocol::default(),
            server: Server::default(),
            values: 0,
            tickets: 0,
            open: BTreeSet::new(),
            refusals: 0,
            log: Vec::new(),
            planned: Vec::new(),
            wild: false,
        }
    }

    /// A new statement. Gives what is not known yet about the name that it runs as `None`.
    fn statement(&mut self, choices: &mut Choices<'_>) -> Option<Value> {
        let kind = match choices.below(14) {
            0..=2 => Kind::Plain,
            3 | 4 => Kind::Begin,
            5 => Kind::Commit,
            6 => Kind::Rollback,
            7 => {
                self.values += 1;
                self.server.kinds.insert(self.values, Kind::Plain);
                Kind::Prepare(sql_name(choices), self.values)
            }
            8 => Kind::Deallocate(choices.chance(80).then(|| sql_name(choices))),
            9 => {
                self.values += 1;
                self.server.kinds.insert(self.values, Kind::Plain);
                Kind::Declare(sql_name(choices), self.values, choices.chance(30))
            }
            10 => Kind::CloseCursor(choices.chance(80).then(|| sql_name(choices))),
            11 => Kind::DiscardAll,
            12 => Kind::CopyIn,
            _ => {
                let name = sql_name(choices);
                match self.machine.lookup(NameKind::Statement, &name) {
                    Lookup::Wait => return None,
                    Lookup::Found(value) => {
                        let value = *value;
                        Kind::Run(name, Some(value))
                    }
                    Lookup::Missing | Lookup::Unknown => Kind::Run(name, None),
                }
            }
        };
        self.values += 1;
        self.server.kinds.insert(self.values, kind);
        Some(self.values)
    }

    fn effects(&self, value: Value) -> Effects<Value> {
        let define =
            |name: &[u8], value, holds| Change::Define(name.into(), Definition { value, holds });
        let remove = |name: &Option<Vec<u8>>| match name {
            Some(name) => Change::Remove(name.as_slice().into()),
            None => Change::RemoveAll,
        };
        let mut effects = Effects::none();
        match self.server.kinds.get(&value).unwrap_or(&Kind::Plain) {
            Kind::Plain
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::CopyIn
            | Kind::Run(..) => {}
            Kind::Prepare(name, value) => effects.statements.push(define(name, *value, true)),
            Kind::Deallocate(name) => effects.statements.push(remove(name)),
            Kind::Declare(name, value, hold) => effects.portals.push(define(name, *value, *hold)),
            Kind::CloseCursor(name) => effects.portals.push(remove(name)),
            Kind::DiscardAll => {
                effects.statements.push(Change::RemoveAll);
                effects.portals.push(Change::RemoveAll);
            }
        }
        effects
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.open.insert(self.tickets);
        self.tickets
    }

    fn send(&mut self, message: Message) {
        self.log.push(format!("> {message:?}"));
        self.server.input.push_back(message);
    }

    /// What the machine says of a name; `None` if the message has to wait.
    fn belief(&self, kind: NameKind, name: &[u8]) -> Option<Belief> {
        match self.machine.lookup(kind, name) {
            Lookup::Found(value) => Some(Belief::Is(*value)),
            Lookup::Missing => Some(Belief::Missing),
            Lookup::Unknown => Some(Belief::Nothing),
            Lookup::Wait => None,
        }
    }

    fn refuse(&mut self, refused: Refused, missing: Option<(bool, Vec<u8>)>) {
        self.refusals += 1;
        let refusal = self.refusals;
        let which = match refused {
            Refused::Query => StandIn::Query,
            Refused::UnnamedParse => StandIn::UnnamedParse,
            Refused::Extended => StandIn::Extended,
            Refused::FunctionCall => StandIn::FunctionCall,
        };
        let at_once = missing.is_some();
        let stand_in = if at_once {
            self.machine.refused_at_once(refused, refusal)
        } else {
            self.machine.refused(refused, refusal)
        };
        assert!(!stand_in.bytes().is_empty());
        self.send(Message::StandIn(which, refusal, at_once, missing));
    }

    /// The client sends something, or would and has to wait. Whether it waits.
    fn client(&mut self, choices: &mut Choices<'_>) -> bool {
        if let Some(planned) = self.planned.pop() {
            self.planned(planned);
            return false;
        }
        if self.wild && choices.chance(25) {
            let any = [Planned::Data, Planned::Done, Planned::Fail, Planned::Sync];
            self.planned(any[choices.below(any.len())]);
            return false;
        }
        let what = choices.below(16);
        if self.machine.is_skipping() && what != 0 {
            self.send(Message::Dropped);
            return false;
        }
        match what {
            0 | 1 => self.planned(Planned::Sync),
            2 => {
                passed(self.machine.unanswered(b"H"));
                self.send(Message::Flush);
            }
            3 | 4 => return self.parse(choices),
            5 | 6 => return self.bind(choices),
            7 | 8 => return self.execute(choices),
            9 => return self.describe(choices),
            10 => {
                let name = name(choices);
                if choices.chance(50) {
                    passed(self.machine.close(NameKind::Statement, &name, b"C"));
                    self.send(Message::CloseStatement(name));
                } else {
                    passed(self.machine.close(NameKind::Portal, &name, b"C"));
                    self.send(Message::ClosePortal(name));
                }
            }
            11..=13 => return self.query(choices),
            14 => {
                let ticket = Some(self.ticket());
                self.machine.submitted(Submitted::FunctionCall, ticket);
                self.send(Message::FunctionCall);
            }
            _ => match choices.below(3) {
                0 => self.refuse(Refused::Query, None),
                1 => self.refuse(Refused::Extended, None),
                _ => self.refuse(Refused::FunctionCall, None),
            },
        }
        false
    }

    fn planned(&mut self, planned: Planned) {
        // What the server is known to ignore is not sent; only a Sync is heard.
        if self.machine.is_skipping() && !matches!(planned, Planned::Sync) {
            return self.send(Message::Dropped);
        }
        match planned {
            Planned::Sync => {
                passed(self.machine.sync(b"S"));
                self.send(Message::Sync);
            }
            Planned::Data => {
                passed(self.machine.copy_data(b"d"));
                self.send(Message::CopyData);
            }
            Planned::Done => {
                passed(self.machine.copy_end(b"c"));
                self.send(Message::CopyDone);
            }
            Planned::Fail => {
                passed(self.machine.copy_end(b"f"));
                self.send(Message::CopyFail);
            }
        }
    }

    /// What clients do once they have asked for a COPY.
    fn plan_copy(&mut self, choices: &mut Choices<'_>, copies: usize, extended: bool) {
        let mut plan = Vec::new();
        if extended && choices.chance(70) {
            plan.push(Planned::Sync);
        }
        for _ in 0..copies {
            for _ in 0..choices.below(3) {
                plan.push(Planned::Data);
            }
            plan.push(if choices.chance(30) { Planned::Fail } else { Planned::Done });
        }
        if extended {
            plan.push(Planned::Sync);
        }
        plan.reverse();
        self.planned = plan;
    }

    fn parse(&mut self, choices: &mut Choices<'_>) -> bool {
        let name = name(choices);
        if choices.chance(15) {
            let refused = if name.is_empty() { Refused::UnnamedParse } else { Refused::Extended };
            self.refuse(refused, None);
            return false;
        }
        let Some(value) = self.statement(choices) else { return true };
        // An EXECUTE inside a prepared statement is resolved when it runs.
        if let Some(Kind::Run(_, believed)) = self.server.kinds.get_mut(&value) {
            *believed = None;
        }
        let ticket = Some(self.ticket());
        self.machine.submitted(Submitted::Parse(&name, value), ticket);
        self.send(Message::Parse(name, value));
        false
    }

    fn bind(&mut self, choices: &mut Choices<'_>) -> bool {
        let (portal, name) = (name(choices), name(choices));
        let Some(belief) = self.belief(NameKind::Statement, &name) else { return true };
        match belief {
            Belief::Is(value) => {
                let ticket = Some(self.ticket());
                self.machine.submitted(Submitted::Bind(&portal, value), ticket);
                self.send(Message::Bind(portal, name, belief));
            }
            Belief::Missing => self.refuse(Refused::Extended, Some((true, name))),
            Belief::Nothing => self.refuse(Refused::Extended, None),
        }
        false
    }

    fn execute(&mut self, choices: &mut Choices<'_>) -> bool {
        let portal = name(choices);
        let Some(belief) = self.belief(NameKind::Portal, &portal) else { return true };
        match belief {
            Belief::Is(value) => {
                let ticket = Some(self.ticket());
                self.machine.submitted(Submitted::Execute(self.effects(value)), ticket);
                self.send(Message::Execute(portal, belief));
                if self.server.kinds.get(&value) == Some(&Kind::CopyIn) {
                    self.plan_copy(choices, 1, true);
                }
            }
            Belief::Missing => self.refuse(Refused::Extended, Some((false, portal))),
            Belief::Nothing => self.refuse(Refused::Extended, None),
        }
        false
    }

    fn describe(&mut self, choices: &mut Choices<'_>) -> bool {
        let name = name(choices);
        let statement = choices.chance(50);
        let kind = if statement { NameKind::Statement } else { NameKind::Portal };
        let Some(belief) = self.belief(kind, &name) else { return true };
        if belief == Belief::Missing {
            self.refuse(Refused::Extended, Some((statement, name)));
            return false;
        }
        passed(self.machine.describe(b"D", None));
        self.send(if statement {
            Message::DescribeStatement(name, belief)
        } else {
            Message::DescribePortal(name, belief)
        });
        false
    }

    fn query(&mut self, choices: &mut Choices<'_>) -> bool {
        let mut values = Vec::new();
        for _ in 0..choices.below(4) {
            let Some(value) = self.statement(choices) else { return true };
            values.push(value);
        }
        // Of several statements, one may change what the next one refers to; whoever analyses the
        // text follows that, and the machine has no part in it.
        if values.len() > 1 {
            for value in &values {
                if let Some(Kind::Run(_, believed)) = self.server.kinds.get_mut(value) {
                    *believed = None;
                }
            }
        }
        let effects = values.iter().map(|value| self.effects(*value)).collect();
        let ticket = Some(self.ticket());
        self.machine.submitted(Submitted::Query(effects), ticket);
        let copies =
            values.iter().filter(|value| self.server.kinds.get(value) == Some(&Kind::CopyIn));
        let copies = copies.count();
        self.send(Message::Query(values));
        if copies > 0 {
            self.plan_copy(choices, copies, false);
        }
        false
    }

    fn serve(&mut self, choices: &mut Choices<'_>) -> bool {
        let mut fails = || choices.chance(12);
        let before = self.server.output.len();
        let did = self.server.step(&mut fails);
        if let Some(wrong) = &self.server.wrong {
            panic!("{wrong}\n{}", self.log.join("\n"));
        }
        for answer in self.server.output.iter().skip(before) {
            self.log.push(format!("    server {:?}", answer.tag));
        }
        did
    }

    /// The machine hears the next answer, if one has left the server.
    fn hear(&mut self) -> bool {
        if self.server.visible == 0 {
            return false;
        }
        let Some(answer) = self.server.output.pop_front() else { return false };
        self.server.visible -= 1;
        self.log.push(format!("  < {:?} {}", answer.tag, answer.body.escape_ascii()));
        let step = match self.machine.upstream(answer.tag, &answer.body) {
            Ok(step) => step,
            Err(_) if self.wild => {
                self.server.dead = true;
                return false;
            }
            Err(violation) => panic!("{violation}\n{}", self.log.join("\n")),
        };
        let expected = answer.replaced_by.map_or(UpstreamStep::Relay, UpstreamStep::Replace);
        assert_eq!(step, expected, "{}", self.log.join("\n"));
        let settled: Vec<u64> = self.machine.settled().map(|one| one.ticket).collect();
        for ticket in settled {
            assert!(self.open.remove(&ticket), "{ticket} settled twice\n{}", self.log.join("\n"));
        }
        true
    }

    /// Everything that is on its way arrives.
    fn settle(&mut self, choices: &mut Choices<'_>) {
        while self.serve(choices) {}
        while self.hear() {}
    }

    fn run(&mut self, choices: &mut Choices<'_>) {
        while !choices.ended && !self.server.dead {
            match choices.below(4) {
                0 => {
                    self.serve(choices);
                }
                1 => {
                    self.hear();
                }
                _ => {
                    if self.client(choices) {
                        self.log.push("> waits".to_owned());
                        self.settle(choices);
                        // What a message waits for comes without anything more from the client.
                        for name in NAMES {
                            for kind in [NameKind::Statement, NameKind::Portal] {
                                let waits = self.machine.lookup(kind, name) == Lookup::Wait;
                                let excused = self.server.dead || self.server.in_copy();
                                assert!(
                                    !waits || excused,
                                    "waits forever\n{}",
                                    self.log.join("\n")
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// The client ends what is open; then both sides must agree.
    fn finish(&mut self, choices: &mut Choices<'_>) {
        while let Some(planned) = self.planned.pop() {
            self.planned(planned);
        }
        self.planned(Planned::Fail);
        self.planned(Planned::Sync);
        self.settle(choices);
        self.planned(Planned::Sync);
        self.settle(choices);
        if self.server.dead {
            return;
        }
        if self.wild && !self.machine.is_quiet() {
            return;
        }
        assert!(self.machine.is_quiet(), "{:?}\n{}", self.machine, self.log.join("\n"));
        assert!(self.open.is_empty(), "{:?} never settled\n{}", self.open, self.log.join("\n"));
        for name in NAMES {
            let has = self.server.statements.get(name).copied();
            let right = match self.machine.lookup(NameKind::Statement, name) {
                Lookup::Found(value) => has == Some(*value),
                Lookup::Missing => has.is_none(),
                Lookup::Unknown => true,
                Lookup::Wait => false,
            };
            assert!(right, "{name:?} is {has:?}\n{:?}\n{}", self.machine, self.log.join("\n"));
            let has = self.server.portals.get(name).map(|(value, _)| *value);
            let right = match self.machine.lookup(NameKind::Portal, name) {
                Lookup::Found(value) => has.is_none_or(|has| has == *value),
                Lookup::Missing => has.is_none(),
                Lookup::Unknown => true,
                Lookup::Wait => false,
            };
            assert!(right, "{name:?} is {has:?}\n{:?}\n{}", self.machine, self.log.join("\n"));
        }
    }
}

proptest! {
    #![proptest_config(config(30_000))]

    #[test]
    fn names_stand_for_what_the_server_has(numbers in prop::collection::vec(any::<u16>(), 0..400)) {
        let mut choices = Choices { numbers: numbers.iter(), ended: false };
        let mut world = World::new();
        world.run(&mut choices);
        world.finish(&mut choices);
    }

    #[test]
    fn names_are_never_wrong_for_a_client_without_manners(
        numbers in prop::collection::vec(any::<u16>(), 0..400)
    ) {
        let mut choices = Choices { numbers: numbers.iter(), ended: false };
        let mut world = World { wild: true, ..World::new() };
        world.run(&mut choices);
        world.finish(&mut choices);
    }
}

/// What the server may say without having been asked.
fn asynchronous(tag: UpstreamTag) -> bool {
    matches!(
        tag,
        UpstreamTag::Notice
            | UpstreamTag::Notification
            | UpstreamTag::ParameterStatus
            | UpstreamTag::Error
    )
}

#[test]
fn every_answer_without_a_question_is_a_violation() {
    for byte in 0..=u8::MAX {
        let Ok(Some(header)) = pgwire::upstream_header(&[byte, 0, 0, 0, 4]) else { continue };
        for body in [&b""[..], b"I", b"SELECT 1\0"] {
            let mut machine: Protocol<u32, u32> = Protocol::default();
            let answer = machine.upstream(header.tag, body);
            assert_eq!(answer.is_ok(), asynchronous(header.tag), "{:?}", header.tag);
        }
    }
}
