//! What the server says, asked as the role whose grants are compared.

use std::collections::BTreeSet;

use testkit::Wire;
use testkit::wire::Frame;

use crate::kinds::Statement;
use crate::world::World;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Oracle {
    /// It runs it, by this plan.
    Permits(String),
    /// A privilege is missing; where it was noticed.
    Refuses { message: String, context: String },
    /// It is no valid statement.
    Invalid(String),
    /// It may be run, and fails by what is in the tables.
    Fails(String),
}

/// A session of the role `eve`.
pub(crate) struct Eve(Wire);

impl Eve {
    pub(crate) fn login(port: u16, database: &str, path: &[&str]) -> Self {
        let wire = Wire::login(port, &[("user", "eve"), ("database", database)]);
        let mut eve = Self(wire.expect("eve may log in"));
        let path = path.join(", ");
        eve.say(&format!("SET search_path = {path}; SET statement_timeout = '500ms'"));
        eve
    }

    pub(crate) fn moves_to(&mut self, schema: &str) {
        self.say(&format!("SET search_path = {schema}"));
    }

    fn say(&mut self, sql: &str) -> Vec<Frame> {
        self.0.query(sql).unwrap_or_else(|trouble| panic!("{trouble:?}: {sql}"))
    }

    /// Plans it, runs it and takes it back.
    pub(crate) fn ask(&mut self, statement: &Statement) -> Oracle {
        let mut plan = String::new();
        if let Some(inner) = &statement.plan {
            let answer = self.say(&format!("EXPLAIN (VERBOSE) {inner}"));
            match said(&answer) {
                Some(error) if error.sqlstate() == "42501" => return refusal(error),
                Some(error) => return Oracle::Invalid(told(error)),
                None => {}
            }
            for row in answer.iter().filter(|frame| frame.tag == b'D') {
                plan.push_str(&row.row().join(""));
                plan.push('\n');
            }
        }
        let Some(run) = &statement.run else { return Oracle::Permits(plan) };
        let answer = self.say(&format!("BEGIN; {run}; ROLLBACK"));
        let Some(error) = said(&answer) else { return Oracle::Permits(plan) };
        let found = match error.sqlstate().as_str() {
            "42501" => refusal(error),
            _ if statement.plan.is_some() => Oracle::Fails(told(error)),
            _ => Oracle::Invalid(told(error)),
        };
        self.say("ROLLBACK; DEALLOCATE ALL");
        found
    }

    /// The functions that are refused to her when they run.
    pub(crate) fn refused(&mut self, world: &World) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        for routine in world.routines.iter().chain(&world.special) {
            if self.ask(&Statement::plain(routine.probe(world))).is_refusal() {
                refused.insert(routine.name.clone());
            }
        }
        refused
    }
}

fn said(answer: &[Frame]) -> Option<&Frame> {
    answer.iter().find(|frame| frame.tag == b'E')
}

fn told(error: &Frame) -> String {
    format!("{} {}", error.sqlstate(), error.field(b'M').unwrap_or_default())
}

fn refusal(error: &Frame) -> Oracle {
    let field = |code| error.field(code).unwrap_or_default();
    Oracle::Refuses { message: field(b'M'), context: field(b'W') }
}
