//! The walk: one statement in, its findings out.
//!
//! What is here: the stack, the scopes, the dispatch. What statements and calls mean is in
//! [`crate::statements`] and [`crate::calls`]. Invariants: iterative and bounded; every child of
//! every node is visited unless its statement argues why not; a bound that is reached makes
//! everything unknown.

use std::cell::Cell;
use std::collections::HashSet;

use model::{Access, Operation, RelationName, RelationUse, Unknown};

use crate::catalog::TEMPORARY;
use crate::children::{ROOM, each_branch};
use crate::context::{Context, SearchPaths};
use crate::findings::Findings;
use crate::parse::{self, Node, nodes};
use crate::resolve::{self, Qualified, SharedPaths};
use crate::resolved::is_temporary;
use crate::scope::{Scope, Scopes};
use crate::{limits, ops, parts, statements};

/// What stays the same during one analysis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment<'e> {
    pub(crate) context: Context<'e>,
    shared: &'e SharedPaths,
    nodes_left: &'e Cell<usize>,
    texts_deep: u32,
}

impl<'e> Environment<'e> {
    pub(crate) const fn new(
        context: Context<'e>,
        shared: &'e SharedPaths,
        nodes_left: &'e Cell<usize>,
    ) -> Self {
        Self { context, shared, nodes_left, texts_deep: 0 }
    }

    fn relation(&self, written: Qualified<'_>) -> RelationName {
        resolve::relation(written, &self.context, self.shared)
    }

    fn spend(&self) -> bool {
        self.spend_many(1)
    }

    /// A relation carries every path that it may be found on, so it costs what they hold.
    fn spend_paths(&self) -> bool {
        match self.context.search_paths {
            SearchPaths::Possible(paths) => self.spend_many(paths.iter().map(Vec::len).sum()),
            SearchPaths::Unknown => true,
        }
    }

    fn spend_many(&self, count: usize) -> bool {
        match self.nodes_left.get().checked_sub(count) {
            Some(left) => {
                self.nodes_left.set(left);
                true
            }
            None => false,
        }
    }

    /// For names that another session or a later search path will look up.
    pub(crate) const fn elsewhere(mut self) -> Self {
        self.context.search_paths = SearchPaths::Unknown;
        self
    }
}

/// How a relation in this place is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Read,
    /// Read and locked: FOR UPDATE and its kin.
    Lock,
    Write,
    Define,
}

/// A node to visit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) node: Node<'a>,
    pub(crate) depth: u32,
    pub(crate) scope: Scope,
    pub(crate) touch: Touch,
    /// Whether a statement here is one in its own right, not a part of an expression or a FROM.
    pub(crate) body: bool,
}

/// One walk over one tree.
#[derive(Debug)]
pub(crate) struct Walk<'a, 'e> {
    pub(crate) environment: Environment<'e>,
    pub(crate) found: Findings,
    tasks: Vec<Task<'a>>,
    scopes: Scopes<'a>,
    places: Places<'a>,
    /// Calls that certainly run, once: the bare targets of a SELECT without FROM.
    pub(crate) certain: Vec<&'a nodes::FuncCall>,
    /// Aliases of functions in FROM, and qualified columns: `f.x` may call `x(f)`.
    pub(crate) row_functions: Vec<&'a str>,
    /// FROM has an expression without an alias, which may be called anything.
    pub(crate) row_function_of_any_name: bool,
    pub(crate) qualified_columns: Vec<&'a nodes::ColumnRef>,
}

/// Names of relations that are written without a schema, by their places in the text.
pub(crate) type Places<'a> = Vec<(i32, &'a str)>;

/// Walks one statement.
pub(crate) fn statement(root: Node<'_>, environment: Environment<'_>) -> Findings {
    whole(root, environment).0
}

/// Walks one statement of the submission.
pub(crate) fn whole<'a>(root: Node<'a>, environment: Environment<'_>) -> (Findings, Places<'a>) {
    let mut walk = Walk {
        environment,
        found: Findings::default(),
        tasks: Vec::with_capacity(ROOM / 2),
        scopes: Scopes::default(),
        places: Vec::new(),
        certain: Vec::new(),
        row_functions: Vec::new(),
        row_function_of_any_name: false,
        qualified_columns: Vec::new(),
    };
    let task =
        Task { node: root, depth: 0, scope: Scope::default(), touch: Touch::Read, body: true };
    walk.tasks.push(task);
    walk.run();
    (walk.found, walk.places)
}

/// Walks a text that a statement holds and runs.
pub(crate) fn text(text: &str, environment: Environment<'_>) -> Findings {
    let mut found = Findings { texts: vec![text.to_owned()], ..Findings::default() };
    let environment = Environment { texts_deep: environment.texts_deep + 1, ..environment };
    if environment.texts_deep > limits::MAX_NESTED_TEXTS {
        found.opaque(Unknown::TooComplex);
        return found;
    }
    match parse::parse(text) {
        Ok(tree) => {
            for raw in tree.statements() {
                found.merge(statement(raw.stmt(), environment));
            }
        }
        Err(_message) => found.opaque(Unknown::ParseError),
    }
    // What an inner text does to names is not tracked: it cannot make any that outlive it.
    found.effects.clear();
    found
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self) {
        while let Some(task) = self.tasks.pop() {
            if task.depth > limits::MAX_DEPTH || !self.environment.spend() {
                self.found.opaque(Unknown::TooComplex);
                return;
            }
            self.visit(task);
        }
        self.settle_columns();
    }

    fn visit(&mut self, task: Task<'a>) {
        match ops::operation(task.node) {
            Some(operation) => {
                self.count(operation, task);
                statements::visit(self, task);
            }
            None => self.part(task),
        }
    }

    /// A sub-select is an operation of its own where it reads relations.
    fn count(&mut self, operation: Operation, task: Task<'a>) {
        let is_bare_part = matches!(task.node, Node::SelectStmt(select)
            if !task.body && select.from_clause().is_empty());
        if !is_bare_part {
            self.found.operations.add(operation);
        }
    }

    /// Schedules one more node.
    pub(crate) fn push(&mut self, node: Node<'a>, parent: Task<'a>, touch: Touch) {
        if !matches!(node, Node::None) {
            self.tasks.push(Task { node, depth: parent.depth + 1, touch, body: false, ..parent });
        }
    }

    /// Schedules a statement that `parent` runs.
    pub(crate) fn push_body(&mut self, node: Node<'a>, parent: Task<'a>) {
        if !matches!(node, Node::None) {
            let depth = parent.depth + 1;
            self.tasks.push(Task { node, depth, touch: Touch::Read, body: true, ..parent });
        }
    }

    /// Schedules the children; `touch` says how each is used, `None` that it is handled.
    pub(crate) fn push_children(
        &mut self,
        task: Task<'a>,
        mut touch: impl FnMut(Node<'a>) -> Option<Touch>,
    ) {
        let depth = task.depth + 1;
        let tasks = &mut self.tasks;
        let names = each_branch(task.node, &mut |node| {
            if let Some(touch) = touch(node) {
                tasks.push(Task { node, depth, touch, body: false, ..task });
            }
        });
        // They are parts of the tree like any other.
        let too_deep = names > 0 && depth > limits::MAX_DEPTH;
        if too_deep || !self.environment.spend_many(names) {
            self.tasks.clear();
            self.found.opaque(Unknown::TooComplex);
        }
    }

    /// Schedules all children; relations directly below are used as `touch` says.
    pub(crate) fn push_all(&mut self, task: Task<'a>, touch: Touch) {
        self.push_children(task, |_child| Some(touch));
    }

    /// Schedules the CTEs and gives the scope that the statement's own parts see.
    pub(crate) fn enter(&mut self, with: Option<&'a nodes::WithClause>, task: Task<'a>) -> Scope {
        let Some(with) = with else { return task.scope };
        let mut scope = task.scope;
        if with.recursive {
            for cte in with.ctes() {
                scope = self.name(scope, cte);
            }
        }
        for cte in with.ctes() {
            let seen = Task { scope, ..task };
            self.push_body(cte.ctequery(), seen);
            if let Some(search) = cte.search_clause() {
                self.push(Node::CTESearchClause(search), seen, Touch::Read);
            }
            if let Some(cycle) = cte.cycle_clause() {
                self.push(Node::CTECycleClause(cycle), seen, Touch::Read);
            }
            if !with.recursive {
                scope = self.name(scope, cte);
            }
        }
        scope
    }

    fn name(&mut self, scope: Scope, cte: &'a nodes::CommonTableExpr) -> Scope {
        if let Some(inner) = self.scopes.add(scope, cte.ctename().unwrap_or_default()) {
            inner
        } else {
            self.found.opaque(Unknown::TooComplex);
            scope
        }
    }

    /// Records a use of a relation, unless it names a CTE.
    pub(crate) fn relation(&mut self, var: &'a nodes::RangeVar, task: Task<'a>) {
        let schema = if is_temporary(var) { Some(TEMPORARY) } else { var.schemaname() };
        let written = Qualified { schema, name: var.relname().unwrap_or_default() };
        let may_be_cte =
            written.schema.is_none() && matches!(task.touch, Touch::Read | Touch::Lock);
        if may_be_cte && self.scopes.has(task.scope, written.name) {
            return;
        }
        if written.schema.is_none() && self.environment.spend_paths() {
            self.places.push((var.location, written.name));
        }
        match task.touch {
            Touch::Read => self.use_relation(written, Access::Read),
            Touch::Write => self.use_relation(written, Access::Write),
            Touch::Define => self.use_relation(written, Access::Define),
            Touch::Lock => {
                self.use_relation(written, Access::Read);
                self.use_relation(written, Access::Write);
            }
        }
    }

    /// Records a use of a relation that is certainly one.
    pub(crate) fn use_relation(&mut self, written: Qualified<'_>, access: Access) {
        if !self.environment.spend_paths() {
            self.found.opaque(Unknown::TooComplex);
            return;
        }
        let relation = self.environment.relation(written);
        self.found.relations.add(RelationUse { relation, access });
    }

    /// The relation that a text names, at the same cost.
    pub(crate) fn relation_in_text(&mut self, text: &str) -> Option<RelationName> {
        if !self.environment.spend_paths() {
            self.found.opaque(Unknown::TooComplex);
            return None;
        }
        let Environment { context, shared, .. } = &self.environment;
        let relation = resolve::relation_in_text(text, context, shared);
        self.found.named.extend(relation.clone());
        relation
    }

    /// `f.x`, where `f` is a function in FROM that gives a scalar, is PostgreSQL for `x(f)`.
    fn settle_columns(&mut self) {
        if self.row_functions.is_empty() && !self.row_function_of_any_name {
            return;
        }
        let functions: HashSet<&str> = self.row_functions.drain(..).collect();
        for column in std::mem::take(&mut self.qualified_columns) {
            let Some((qualifier, column)) = parts::qualified(column) else { continue };
            if self.row_function_of_any_name || functions.contains(qualifier) {
                self.attribute(column);
            }
        }
    }
}
