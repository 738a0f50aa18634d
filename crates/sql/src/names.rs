//! Statements about names: prepared statements, cursors, EXPLAIN, DISCARD.
//!
//! Invariant: what runs under a name later has facts now, and whoever refers to a name says so.

use std::sync::Arc;

use model::SqlFacts;

use crate::analysis::{Discarded, Effect, NameKind, NameRef};
use crate::findings::Findings;
use crate::literal;
use crate::ops;
use crate::parse::{Node, nodes, raw};
use crate::walk::{self, Task, Touch, Walk};

/// `CURSOR_OPT_HOLD`, which `nodes/parsenodes.h` defines as a macro.
const WITH_HOLD: i32 = 0x0020;

#[expect(clippy::wildcard_enum_match_arm, reason = "only called for the statements listed")]
pub(crate) fn visit<'a>(walk: &mut Walk<'a, '_>, task: Task<'a>) {
    match task.node {
        Node::ExplainStmt(explain) => walk.explain(explain, task),
        Node::PrepareStmt(prepare) => walk.prepare(prepare),
        Node::DeclareCursorStmt(declare) => walk.declare(declare),
        Node::ExecuteStmt(execute) => {
            walk.refer(NameKind::Statement, execute.name());
            walk.push_all(task, Touch::Read);
        }
        Node::FetchStmt(fetch) => walk.refer(NameKind::Cursor, fetch.portalname()),
        Node::DeallocateStmt(statement) => {
            let name = statement.name().filter(|_| !statement.isall).map(str::to_owned);
            walk.found.effects.push(Effect::Deallocate { name });
        }
        Node::ClosePortalStmt(close) => {
            let name = close.portalname().map(str::to_owned);
            walk.found.effects.push(Effect::Close { name });
        }
        Node::DiscardStmt(discard) => walk.discard(discard),
        _ => walk.push_all(task, Touch::Read),
    }
}

impl<'a> Walk<'a, '_> {
    fn refer(&mut self, kind: NameKind, name: Option<&str>) {
        let name = name.unwrap_or_default().to_owned();
        self.found.references.push(NameRef { kind, name });
    }

    fn explain(&mut self, explain: &'a nodes::ExplainStmt, task: Task<'a>) {
        let runs = explain.options().iter().any(is_truthy_analyze);
        if runs {
            self.push_body(explain.query(), task);
        } else {
            let planned = self.inner(explain.query());
            self.found.merge_planned(planned);
        }
    }

    fn prepare(&mut self, prepare: &'a nodes::PrepareStmt) {
        let name = prepare.name().unwrap_or_default().to_owned();
        if let Some(facts) = self.definition(prepare.query()) {
            self.found.effects.push(Effect::Prepare { name, facts });
        }
    }

    fn declare(&mut self, declare: &'a nodes::DeclareCursorStmt) {
        let name = declare.portalname().unwrap_or_default().to_owned();
        let hold = declare.options & WITH_HOLD != 0;
        if let Some(facts) = self.definition(declare.query()) {
            self.found.effects.push(Effect::Declare { name, facts, hold });
        }
    }

    /// The facts of what runs later under a name; this statement's own facts hold them too.
    fn definition(&mut self, query: Node<'a>) -> Option<Arc<SqlFacts>> {
        let operation = ops::operation(query)?;
        // Walked twice: gathered findings are consumed, and definitions are rare.
        let facts = self.inner(query).into_facts(operation, None);
        let mut inner = self.inner(query);
        inner.effects.clear();
        self.found.merge(inner);
        Some(Arc::new(facts))
    }

    fn inner(&self, query: Node<'a>) -> Findings {
        walk::statement(query, self.environment)
    }

    fn discard(&mut self, discard: &'a nodes::DiscardStmt) {
        use raw::DiscardMode as Mode;
        let discarded = match discard.target {
            Mode::DISCARD_PLANS => Discarded::Plans,
            Mode::DISCARD_SEQUENCES => Discarded::Sequences,
            Mode::DISCARD_TEMP => Discarded::Temporary,
            _ => Discarded::All,
        };
        if discarded == Discarded::All {
            self.reset_all();
        }
        self.found.effects.push(Effect::Discard(discarded));
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "anything but a plain no is a yes")]
fn says_no(value: Node<'_>) -> bool {
    match value {
        Node::String(text) => text.sval().and_then(literal::bool_text) == Some(false),
        Node::Integer(value) => value.ival == 0,
        Node::Boolean(value) => !value.boolval,
        other => literal::boolean(other) == Some(false),
    }
}

/// Whether an EXPLAIN option makes it run the statement. What cannot be read counts as yes.
pub(crate) fn is_truthy_analyze(option: &nodes::DefElem) -> bool {
    let is_analyze = option.defname().is_some_and(|name| name.eq_ignore_ascii_case("analyze"));
    is_analyze && !says_no(option.arg())
}
