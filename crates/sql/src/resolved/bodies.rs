//! What the bodies of users' functions do.
//!
//! What is here: functions in SQL, and plain triggers in PL/pgSQL, read like statements of their own, and what they
//! call in turn. What is not: any other language, whose code is not read. Invariants: a function that is not read makes everything
//! about it unknown; each is read once under one path; their number is bounded.
//!
//! Source: PostgreSQL documentation, "Query Language (SQL) Functions", "CREATE FUNCTION", "CREATE
//! AGGREGATE".

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{Body, Fact, Operation, SqlFacts, TenantUse, Unknown};

use super::bind::{InBody, complete_body};
use super::plpgsql;
use super::reach::of_definitions;
use super::utility::PLPGSQL;
use crate::catalog::{Catalog, Function, FunctionKind, Oid, Relation, Volatility};
use crate::context::{Context, SearchPaths};
use crate::resolve::SharedPaths;
use crate::walk::{self, Environment};
use crate::{limits, ops, options, parse};

/// A function that may run, under its caller's search path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Run {
    pub(super) function: Oid,
    pub(super) path: Vec<String>,
    /// Not called by the statement itself.
    pub(super) reached: bool,
    /// The relation whose trigger calls it.
    pub(super) fired_by: Option<Oid>,
}

/// Whether a function has to be looked into. What is built in has rules of its own; C code that says
/// that it depends on its arguments alone was put there by a superuser, and is believed.
pub(super) fn is_of_interest(function: &Function) -> bool {
    let plain = function.kind != FunctionKind::Aggregate
        && matches!(&*function.language, "c" | "internal")
        && function.volatility == Volatility::Immutable;
    !function.is_built_in() && !plain
}

/// What a function does by itself, and what it calls.
struct Own {
    facts: SqlFacts,
    calls: Vec<Run>,
}

impl Own {
    fn add(&mut self, (facts, calls): (SqlFacts, BTreeSet<Run>)) {
        self.facts.absorb(&facts);
        self.calls.extend(calls);
    }
}

/// The bodies that are read for one statement.
struct Bodies<'a> {
    catalog: &'a Catalog,
    context: Context<'a>,
    left: &'a Cell<usize>,
    known: HashMap<(Oid, Vec<String>), Option<Own>>,
}

/// What each function that a statement may run does.
pub(super) fn of(
    runs: &BTreeSet<Run>,
    catalog: &Catalog,
    context: &Context<'_>,
    left: &Cell<usize>,
) -> Vec<Body> {
    let mut bodies = Bodies { catalog, context: *context, left, known: HashMap::new() };
    let mut all = Vec::new();
    for run in runs {
        let body = bodies.whole(run);
        all.extend(body.filter(|body| !all.contains(body)));
    }
    all
}

impl Bodies<'_> {
    /// A function with all that it calls in turn.
    fn whole(&mut self, run: &Run) -> Option<Body> {
        let function = self.catalog.function_by_oid(run.function)?;
        let mut facts = nothing();
        let mut unread = None;
        let (mut waiting, mut done) = (vec![run.clone()], BTreeSet::new());
        while let Some(next) = waiting.pop() {
            if !done.insert(next.clone()) {
                continue;
            }
            if let Some(own) = self.own(&next) {
                facts.absorb(&own.facts);
                waiting.extend(own.calls.iter().cloned());
            } else {
                let other = self.catalog.function_by_oid(next.function).unwrap_or(function);
                unread.get_or_insert_with(|| format!("{}.{}", other.schema, other.name));
            }
        }
        if unread.is_some() {
            facts = SqlFacts::unknown(Unknown::OpaqueCode);
        }
        Some(Body {
            schema: function.schema.clone().into(),
            name: function.name.clone().into(),
            facts: Arc::new(facts),
            unread,
            reached: run.reached,
            fired_by: run.fired_by.and_then(|oid| self.catalog.relation_by_oid(oid)).map(named),
        })
    }

    /// What a function does by itself; `None` if it is not read.
    fn own(&mut self, run: &Run) -> Option<&Own> {
        let key = (run.function, run.path.clone());
        if !self.known.contains_key(&key) {
            let own = if self.known.len() < limits::MAX_BODIES { self.read(run) } else { None };
            self.known.insert(key.clone(), own);
        }
        self.known.get(&key)?.as_ref()
    }

    fn read(&self, run: &Run) -> Option<Own> {
        let function = self.catalog.function_by_oid(run.function)?;
        if function.kind == FunctionKind::Aggregate {
            return self.aggregate(function, run);
        }
        // Under settings of its own, what `current_setting` and a text stand for is another matter.
        if function.settings {
            return None;
        }
        let in_force = self.path(function, run)?;
        let body = function.body.as_deref()?;
        let (text, path) = match (&*function.language, standard(body)) {
            // A semicolon ends each: none of them is more than one statement.
            (PLPGSQL, _) => (plpgsql::statements(body)?.join(";\n"), in_force.clone()),
            ("sql", Some(text)) => (text, of_definitions().to_vec()),
            ("sql", None) => (body.to_owned(), in_force.clone()),
            _ => return None,
        };
        if text.len() > limits::MAX_STATEMENT_BYTES {
            return None;
        }
        let paths = [path];
        let context = Context { search_paths: SearchPaths::Possible(&paths), ..self.context };
        let tree = parse::parse(&text).ok()?;
        let mut own = Own { facts: nothing(), calls: Vec::new() };
        let body = InBody { function, in_force: &in_force };
        for raw in tree.statements() {
            own.add(self.statement(raw.stmt(), &context, body)?);
        }
        if let Some(defaults) = &function.default_arguments {
            own.add(self.defaults(defaults, InBody { function, in_force: &run.path })?);
        }
        Some(own)
    }

    /// What arguments are that a call leaves out: the caller's expressions, with every name qualified.
    fn defaults(&self, list: &str, body: InBody<'_>) -> Option<(SqlFacts, BTreeSet<Run>)> {
        let paths = [of_definitions().to_vec()];
        let context = Context { search_paths: SearchPaths::Possible(&paths), ..self.context };
        let tree = parse::parse(&format!("SELECT {list}")).ok()?;
        let only = tree.statements().next()?;
        self.statement(only.stmt(), &context, body)
    }

    /// One statement of a body. What names a prepared statement or changes how text is read is not
    /// followed there.
    fn statement(
        &self,
        root: parse::Node<'_>,
        context: &Context<'_>,
        body: InBody<'_>,
    ) -> Option<(SqlFacts, BTreeSet<Run>)> {
        let mut found =
            walk::statement(root, Environment::new(*context, &SharedPaths::new(), self.left));
        let texts = std::mem::take(&mut found.texts);
        if !found.references.is_empty() || !found.effects.is_empty() {
            return None;
        }
        let operation = ops::operation(root).unwrap_or(Operation::Unknown);
        let mut facts = found.into_facts(operation, ops::transaction_step(root));
        let calls = complete_body(&mut facts, (root, &texts), context, (body, self.left));
        if let Fact::Known(tenants) = &mut facts.tenants {
            // Its parameters are not the statement's.
            *tenants = tenants.iter().map(TenantUse::elsewhere).collect();
        }
        Some((facts, calls))
    }

    /// The search path that a body is read under.
    fn path(&self, function: &Function, run: &Run) -> Option<Vec<String>> {
        let Some(own) = function.search_path.as_deref() else { return Some(run.path.clone()) };
        let path = options::parse_search_path(own)?;
        let role = self.context.role.filter(|_| !function.security_definer);
        path.into_iter()
            .map(|schema| if schema == "$user" { role.map(str::to_owned) } else { Some(schema) })
            .collect()
    }

    /// An aggregate does what its functions do.
    fn aggregate(&self, function: &Function, run: &Run) -> Option<Own> {
        if function.calls.is_empty() {
            return None;
        }
        let mut own = Own { facts: nothing(), calls: Vec::new() };
        for oid in function.calls.iter().filter(|oid| **oid != 0) {
            if is_of_interest(self.catalog.function_by_oid(*oid)?) {
                own.calls.push(Run { function: *oid, ..run.clone() });
            }
        }
        Some(own)
    }
}

fn named(relation: &Relation) -> String {
    format!("{}.{}", relation.schema, relation.name)
}

/// A SELECT that touches nothing, as far as a catalog says.
fn nothing() -> SqlFacts {
    SqlFacts {
        columns: Fact::Known(Vec::new()),
        calls: Fact::Known(Vec::new()),
        tenants: Fact::Known(Vec::new()),
        ..SqlFacts::of(Operation::Select)
    }
}

/// A body in standard SQL (`RETURN …`, `BEGIN ATOMIC … END`), as statements.
fn standard(body: &str) -> Option<String> {
    let text = body.trim();
    if let Some(expression) = text.strip_prefix("RETURN ") {
        return Some(format!("SELECT {expression}"));
    }
    let inner = text.strip_prefix("BEGIN ATOMIC")?.strip_suffix("END")?;
    Some(inner.to_owned())
}
