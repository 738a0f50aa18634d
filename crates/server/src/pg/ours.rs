//! The session's own relations, by what the server has answered and by what it still may.
//!
//! What is here: steps on their way, kept until the server has completed them. What is not: what a
//! statement does to them ([`sql::Step`]), and what that means for names. Invariant: a message is judged
//! by what its own group has asked for, because if that fails the server does not run the message; what
//! an earlier group asked for is waited for.

use std::collections::VecDeque;

use pgwire::{Completed, Status};
use sql::{Ready, Step, Timeline};

use crate::limits::MAX_PENDING_STEPS;

/// Steps of one message.
#[derive(Debug)]
struct Pending {
    ticket: u64,
    group: u64,
    /// One for each statement.
    steps: VecDeque<Option<Step>>,
}

/// What the session has of its own.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// As answered.
    answered: Timeline,
    pending: VecDeque<Pending>,
    /// As it is if nothing that is pending fails.
    ahead: Timeline,
    /// The server has reported an error since it was last ready.
    erred: bool,
    /// The last message that may have made anything.
    distrusted: u64,
}

impl Ours {
    /// What a message that is judged now is judged by.
    pub(super) const fn timeline(&self) -> &Timeline {
        &self.ahead
    }

    /// Whether a message has to wait for answers before it is known what is there, if an earlier group
    /// than its own still `awaits` some.
    pub(super) fn waits(&self, awaits: bool) -> bool {
        let makes = |pending: &Pending| pending.steps.iter().flatten().any(is_made);
        awaits && (!self.answered.is_plain() || self.pending.iter().any(makes))
    }

    /// Works out what a message of this group is judged by. Whether that has changed.
    pub(super) fn look_ahead(&mut self, group: u64) -> bool {
        let mut ahead = self.answered.clone();
        let own = self.pending.iter().filter(|pending| pending.group == group);
        for step in own.flat_map(|pending| pending.steps.iter().flatten()) {
            ahead.take(step);
        }
        let changed = ahead != self.ahead;
        self.ahead = ahead;
        changed
    }

    /// A message is on its way. Whether it is followed: not if too many are.
    pub(super) fn submitted(
        &mut self,
        ticket: u64,
        group: u64,
        steps: VecDeque<Option<Step>>,
    ) -> bool {
        if steps.iter().all(Option::is_none) {
            return true;
        }
        let waiting: usize = self.pending.iter().map(|pending| pending.steps.len()).sum();
        let follows = waiting + steps.len() <= MAX_PENDING_STEPS;
        if !follows || steps.iter().flatten().any(|step| *step == Step::Anything) {
            self.distrust(ticket);
        }
        if follows {
            self.pending.push_back(Pending { ticket, group, steps });
        }
        follows
    }

    /// It may have made anything, whatever becomes of its transaction.
    pub(super) const fn distrust(&mut self, ticket: u64) {
        self.answered.distrust();
        self.ahead.distrust();
        self.distrusted = ticket;
    }

    /// The server has completed a statement. Gives what that did.
    pub(super) fn completed(&mut self, completed: Completed) -> Option<Step> {
        let mut pending = self.pending.iter_mut();
        let pending = pending.find(|one| one.ticket == completed.ticket)?;
        let step = pending.steps.pop_front()??;
        let undone = step == Step::Commit && completed.rolled_back;
        let step = if undone { Step::Rollback } else { step };
        self.answered.take(&step);
        if step == Step::DiscardAll && self.distrusted > completed.ticket {
            self.answered.distrust();
        }
        Some(step)
    }

    /// Nothing more comes of a message.
    pub(super) fn settled(&mut self, ticket: u64) {
        self.pending.retain(|pending| pending.ticket != ticket);
    }

    pub(super) const fn erred(&mut self) {
        self.erred = true;
    }

    pub(super) fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => Ready::Idle,
            Status::Transaction => Ready::Open,
            Status::Failed => Ready::Failed,
        };
        self.answered.ready(status, std::mem::take(&mut self.erred));
    }
}

const fn is_made(step: &Step) -> bool {
    match step {
        Step::Made { .. } | Step::Anything | Step::DiscardTemporary | Step::DiscardAll => true,
        Step::Commit
        | Step::Rollback
        | Step::Savepoint(_)
        | Step::Release(_)
        | Step::RollbackTo(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use sql::catalog::{Catalog, FORMAT, Snapshot};

    use super::*;

    fn step(sql: &str, timeline: &Timeline) -> VecDeque<Option<Step>> {
        let snapshot = Snapshot { format: FORMAT, ..Snapshot::default() };
        let catalog = Catalog::from_snapshot(snapshot).unwrap();
        let context = sql::Context {
            search_paths: sql::SearchPaths::Possible(&[vec!["public".to_owned()]]),
            encoding: sql::Encoding::Utf8,
            standard_conforming_strings: true,
            catalog: sql::Known::Catalog(&catalog),
            timeline: Some(timeline),
            role: None,
            tenant_column: None,
            server_major: None,
        };
        let analysis = sql::analyze(sql.as_bytes(), &context);
        analysis
            .statements()
            .iter()
            .map(|one| one.effects().iter().find_map(sql::Effect::step).cloned())
            .collect()
    }

    const DONE: Completed = Completed { ticket: 1, rolled_back: false };

    fn make(ours: &mut Ours, ticket: u64, group: u64) {
        let steps = step("CREATE TEMP TABLE t (a int)", ours.timeline());
        ours.submitted(ticket, group, steps);
    }

    #[test]
    fn what_an_earlier_group_makes_is_waited_for() {
        let mut ours = Ours::default();
        assert!(!ours.waits(true));
        make(&mut ours, 1, 1);
        assert!(ours.waits(true));
        assert!(!ours.waits(false));
        assert!(ours.look_ahead(1), "its own group has it");
        assert!(!ours.timeline().own().is_empty());
        assert!(ours.look_ahead(2));
        assert!(ours.timeline().own().is_empty());
        ours.completed(DONE);
        ours.settled(1);
        ours.ready(Status::Idle);
        assert!(ours.look_ahead(2));
        assert!(!ours.timeline().own().is_empty());
        assert!(ours.waits(true), "a rollback could take it back");
    }

    #[test]
    fn what_fails_was_never_made() {
        let mut ours = Ours::default();
        make(&mut ours, 1, 1);
        ours.completed(DONE);
        ours.erred();
        ours.ready(Status::Idle);
        ours.look_ahead(2);
        assert!(ours.timeline().own().is_empty());
        make(&mut ours, 1, 2);
        ours.settled(1);
        ours.look_ahead(2);
        assert!(ours.timeline().own().is_empty());
    }

    #[test]
    fn a_commit_of_a_failed_transaction_takes_everything_back() {
        let mut ours = Ours::default();
        make(&mut ours, 1, 1);
        ours.completed(DONE);
        ours.ready(Status::Transaction);
        ours.look_ahead(2);
        ours.submitted(2, 2, step("COMMIT", ours.timeline()));
        ours.completed(Completed { ticket: 2, rolled_back: true });
        ours.look_ahead(3);
        assert!(ours.timeline().own().is_empty());
    }

    #[test]
    fn too_many_at_once_are_not_followed() {
        let mut ours = Ours::default();
        for ticket in 1..=MAX_PENDING_STEPS as u64 {
            assert!(ours.submitted(ticket, 1, VecDeque::from([Some(Step::Rollback)])));
        }
        assert!(!ours.submitted(u64::MAX, 1, VecDeque::from([Some(Step::Rollback)])));
        assert!(ours.answered.hides_temporary());
    }

    #[test]
    fn discarding_does_not_forgive_what_comes_after_it() {
        let mut ours = Ours::default();
        ours.submitted(1, 1, step("DISCARD ALL", ours.timeline()));
        ours.distrust(2);
        ours.completed(DONE);
        assert!(ours.answered.hides_temporary());
        ours.submitted(3, 2, step("DISCARD ALL", ours.timeline()));
        ours.completed(Completed { ticket: 3, rolled_back: false });
        assert!(!ours.answered.hides_temporary());
    }
}
