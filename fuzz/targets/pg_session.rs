//! The protocol machine under any client and any server.
//!
//! Invariants: no panic; every ticket is settled at most once; every refusal is told at most once;
//! a machine that is quiet takes no answer but asynchronous ones. Whether names are right is
//! checked against a model of the server in the crate's own tests.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use pgwire::{
    Change, Definition, Effects, Lookup, NameKind, Protocol, Refused, Submitted, UpstreamStep,
    UpstreamTag, upstream_header,
};

const ANSWERS: &[u8] = b"RK23CWdcGHDIEVvnNAtS1sZT";

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, longest: usize) -> &'a [u8] {
        let count = usize::from(self.byte().unwrap_or(0)) % (longest + 1);
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }
}

fn effects(what: u8, name: &[u8]) -> Effects<u8> {
    let define = |holds| Change::Define(name.into(), Definition { value: what, holds });
    let mut effects = Effects::none();
    match what % 8 {
        0 => effects.statements.push(define(true)),
        1 => effects.statements.push(Change::Remove(name.into())),
        2 => effects.statements.push(Change::RemoveAll),
        3 => effects.portals.push(define(what & 16 > 0)),
        4 => effects.portals.push(Change::Remove(name.into())),
        5 => effects.statements.push(Change::Forget),
        _ => {}
    }
    effects
}

fn client(machine: &mut Protocol<u8, u32>, input: &mut Input<'_>, number: u32) -> Option<u64> {
    let what = input.byte().unwrap_or(0);
    let name = input.bytes(2);
    let ticket = Some(u64::from(number));
    let message = match what % 14 {
        0 => {
            machine.sync(b"S");
            return None;
        }
        1 => {
            machine.describe(b"D", None);
            return None;
        }
        2 => {
            machine.close(NameKind::Statement, name, b"C");
            return None;
        }
        3 => {
            machine.close(NameKind::Portal, name, b"C");
            return None;
        }
        4 => {
            machine.copy_end(b"c");
            return None;
        }
        5..=8 => {
            let place = match what % 4 {
                0 => Refused::Query,
                1 => Refused::UnnamedParse,
                2 => Refused::Extended,
                _ => Refused::FunctionCall,
            };
            let stand_in = if what > 127 {
                machine.refused(place, number)
            } else {
                machine.refused_at_once(place, number)
            };
            assert!(!stand_in.bytes().is_empty());
            return None;
        }
        9 => Submitted::Query(vec![effects(what / 14, name), effects(what / 7, name)]),
        10 => Submitted::Parse(name, what),
        11 => match machine.lookup(NameKind::Statement, name) {
            Lookup::Found(value) => {
                let value = *value;
                Submitted::Bind(name, value)
            }
            Lookup::Missing | Lookup::Unknown | Lookup::Wait => return None,
        },
        12 => Submitted::Execute(effects(what / 14, name)),
        _ => Submitted::FunctionCall,
    };
    machine.submitted(message, ticket);
    ticket
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input(input);
    let mut machine: Protocol<u8, u32> = Protocol::default();
    let mut open = BTreeSet::new();
    let mut told = BTreeSet::new();
    let mut number = 0;
    while let Some(step) = input.byte() {
        if step < 128 {
            number += 1;
            open.extend(client(&mut machine, &mut input, number));
            continue;
        }
        let tag = ANSWERS[usize::from(step - 128) % ANSWERS.len()];
        let Ok(Some(header)) = upstream_header(&[tag, 0, 0, 0, 4]) else { unreachable!() };
        let quiet = machine.is_quiet();
        let answer = machine.upstream(header.tag, input.bytes(40));
        let asynchronous = matches!(
            header.tag,
            UpstreamTag::Notice
                | UpstreamTag::Notification
                | UpstreamTag::ParameterStatus
                | UpstreamTag::Error
        );
        if quiet {
            assert_eq!(answer.is_ok(), asynchronous);
        }
        match answer {
            Ok(UpstreamStep::Relay) => {}
            Ok(UpstreamStep::Replace(refusal)) => assert!(told.insert(refusal)),
            // The session ends.
            Err(_) => return,
        }
        for settled in machine.settled() {
            assert!(open.remove(&settled.ticket));
        }
    }
});
