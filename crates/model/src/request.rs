//! One question to the policy.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{Principal, SqlFacts};

/// The major versions of PostgreSQL whose statements can be judged: their grammar and what is built
/// into them are known.
pub const SERVER_MAJORS: RangeInclusive<u16> = 14..=18;

/// Where traffic enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The PostgreSQL wire.
    Pg,
    /// `portcullis check`: nothing is forwarded.
    Check,
}

/// At which moment of a statement's life the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A simple query, or a statement judged without a database.
    Query,
    /// A protocol Parse: PostgreSQL analyses, nothing runs.
    Parse,
    /// A protocol Bind: PostgreSQL plans with the values, immutable functions run.
    Bind,
    /// A protocol Execute.
    Execute,
    /// A protocol `FunctionCall`.
    FunctionCall,
    /// The connection itself: startup parameters.
    Startup,
}

/// Principal + action + facts: one question.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// Through which door.
    pub door: Door,
    /// At which moment.
    pub stage: Stage,
    /// Major version of the server that would run it, if it told.
    pub server_major: Option<u16>,
    /// About what.
    pub facts: &'a SqlFacts,
}
