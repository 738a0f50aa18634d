//! One module for each command.

pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod policy;
mod policy_show;
pub(crate) mod proxy;
pub(crate) mod reference;
pub(crate) mod report;
pub(crate) mod verify_log;
pub(crate) mod version;

use std::process::ExitCode;

use crate::config::layers::Environment;
use crate::output::Style;

/// What a command finds around it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The environment variables.
    pub(crate) environment: Environment,
    /// Whether to colour.
    pub(crate) style: Style,
}

/// What a command has to say, in one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing to object to.
    Clean,
    /// Something was denied, broken or found.
    Objection,
    /// Part of the work could not be done; what is wrong was already said.
    Incomplete,
}

impl Answer {
    /// As an exit status.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Clean => ExitCode::SUCCESS,
            Self::Objection => ExitCode::from(1),
            Self::Incomplete => ExitCode::from(2),
        }
    }

    /// The graver of two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Incomplete, _) | (_, Self::Incomplete) => Self::Incomplete,
            (Self::Objection, _) | (_, Self::Objection) => Self::Objection,
            (Self::Clean, Self::Clean) => Self::Clean,
        }
    }
}
