//! One session's own relations through its transactions: what is made, and what is taken back.
//!
//! What is here: the state after each step, in the order in which the server completes them. What is
//! not: which statement makes which step, and when the server has completed it. Invariant: what the
//! server may not have is never taken for certain; where that cannot be told, temporary relations are
//! hidden until DISCARD.
//!
//! Source: PostgreSQL documentation, "SAVEPOINT", "ROLLBACK TO SAVEPOINT", "DISCARD", "CREATE TABLE"
//! ("ON COMMIT"); source: `xact.c`.

use std::sync::Arc;

use crate::catalog::Own;
use crate::limits::MAX_SAVEPOINTS;

/// What a statement does to the session's own relations, once it has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A definition: these are its own from now on.
    Made {
        /// All of them.
        own: Arc<Own>,
        /// Who else has to know.
        extent: Extent,
        /// A relation that goes on being meant where the new temporary one is named, because
        /// `search_path` lists its schema before `pg_temp`.
        hidden_by: Option<Box<str>>,
    },
    /// It may have made, changed or dropped anything.
    Anything,
    /// COMMIT; in a failed transaction it is a ROLLBACK.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// DISCARD TEMPORARY, which a rollback takes back.
    DiscardTemporary,
    /// DISCARD ALL, which runs in no transaction.
    DiscardAll,
}

impl Step {
    /// A relation that hides the temporary one that is made.
    pub fn hidden_by(&self) -> Option<&str> {
        match self {
            Self::Made { hidden_by, .. } => hidden_by.as_deref(),
            Self::Anything
            | Self::Commit
            | Self::Rollback
            | Self::Savepoint(_)
            | Self::Release(_)
            | Self::RollbackTo(_)
            | Self::DiscardTemporary
            | Self::DiscardAll => None,
        }
    }
}

/// How far a definition reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nobody else will see it.
    Private,
    /// Others see it once it is committed; this session does now, and that is followed.
    Followed,
    /// What exists for everybody changes in a way that is not followed.
    Unfollowed,
}

/// The session's own relations now, and what a rollback brings back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    committed: Arc<Own>,
    current: Arc<Own>,
    savepoints: Vec<(String, Arc<Own>)>,
    /// It may have temporary relations that are not known, or lack those that are.
    hides_temporary: bool,
    /// The transaction has failed.
    failed: bool,
}

impl Timeline {
    /// What it has now.
    pub const fn own(&self) -> &Arc<Own> {
        &self.current
    }

    /// Whether nothing is certain about its temporary relations.
    pub const fn hides_temporary(&self) -> bool {
        self.hides_temporary
    }

    /// Whether no step but a definition can change anything.
    pub fn is_plain(&self) -> bool {
        self.committed.is_empty()
            && self.current.is_empty()
            && self.savepoints.iter().all(|(_, own)| own.is_empty())
    }

    /// Takes a step that the server has completed, or will before anything that is judged by it.
    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Made { own, .. } => self.current = Arc::clone(own),
            Step::Anything => self.distrust(),
            Step::Commit if self.failed => self.roll_back(),
            Step::Commit => self.commit(),
            Step::Rollback => self.roll_back(),
            Step::Savepoint(name) => self.save(name),
            Step::Release(name) => match self.position(name) {
                Some(position) => self.savepoints.truncate(position),
                None => self.distrust(),
            },
            Step::RollbackTo(name) => match self.position(name) {
                Some(position) => {
                    self.savepoints.truncate(position + 1);
                    if let Some((_, own)) = self.savepoints.last() {
                        self.current = Arc::clone(own);
                    }
                    self.failed = false;
                }
                None => self.distrust(),
            },
            Step::DiscardTemporary => self.current = Arc::new(self.current.without_temporary()),
            Step::DiscardAll => *self = Self::default(),
        }
    }

    /// Temporary relations may be any from now on, whatever is rolled back.
    pub const fn distrust(&mut self) {
        self.hides_temporary = true;
    }

    /// The server is ready again: in no transaction, in one, or in a failed one; `erred` if it has
    /// reported an error since it was last.
    pub fn ready(&mut self, status: Ready, erred: bool) {
        match status {
            Ready::Idle if erred => self.roll_back(),
            Ready::Idle => self.commit(),
            Ready::Open => self.failed = false,
            Ready::Failed => self.failed = true,
        }
    }

    fn commit(&mut self) {
        if !self.current.is_empty() {
            self.current = Arc::new(self.current.committed());
        }
        self.committed = Arc::clone(&self.current);
        self.end();
    }

    fn roll_back(&mut self) {
        self.current = Arc::clone(&self.committed);
        self.end();
    }

    fn end(&mut self) {
        self.savepoints.clear();
        self.failed = false;
    }

    fn save(&mut self, name: &str) {
        if self.savepoints.len() < MAX_SAVEPOINTS {
            self.savepoints.push((name.to_owned(), Arc::clone(&self.current)));
        } else {
            self.distrust();
        }
    }

    /// The newest savepoint of that name.
    fn position(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(own, _)| own == name)
    }
}

/// Transaction status of a server that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// In no transaction.
    Idle,
    /// In one.
    Open,
    /// In a failed one.
    Failed,
}
