//! The walk: one statement in, its facts out. Iterative, total, bounded.

use model::{Access, Fact, FunctionUse, RelationName, RelationUse, Schemas, SqlFacts, Unknown};

use crate::analysis::{Effect, NameRef};
use crate::children::each_child;
use crate::context::{Context, SearchPaths};
use crate::parse::{Node, nodes};
use crate::{limits, ops};

/// What a statement was found to be and do.
pub(crate) struct Found {
    pub(crate) facts: SqlFacts,
    pub(crate) references: Vec<NameRef>,
    pub(crate) effects: Vec<Effect>,
}

/// Walks one statement.
pub(crate) fn statement(root: Node<'_>, context: &Context<'_>) -> Found {
    let mut facts = SqlFacts::of(ops::operation(root).unwrap_or(model::Operation::Unknown));
    facts.transaction = ops::transaction_step(root);
    let mut relations = Vec::new();
    let mut functions = Vec::new();
    let mut stack = vec![(root, 0_u32)];
    let mut seen = 0_usize;
    while let Some((node, depth)) = stack.pop() {
        seen += 1;
        if seen > limits::MAX_NODES || depth > limits::MAX_DEPTH {
            facts = SqlFacts::unknown(Unknown::TooComplex);
            break;
        }
        match node {
            Node::RangeVar(var) => relations.push(relation(var, context)),
            Node::FuncCall(call) => functions.extend(function(call)),
            _ => {}
        }
        each_child(node, &mut |child| stack.push((child, depth + 1)));
    }
    facts.relations.absorb(&Fact::Known(relations));
    facts.functions.absorb(&Fact::Known(functions));
    Found { facts, references: Vec::new(), effects: Vec::new() }
}

fn relation(var: &nodes::RangeVar, context: &Context<'_>) -> RelationUse {
    let schemas = match (var.schemaname(), context.search_paths) {
        (Some(schema), _) => Schemas::Named(schema.to_owned()),
        (None, SearchPaths::Possible(paths)) => Schemas::Paths(paths.to_vec()),
        (None, SearchPaths::Unknown) => Schemas::Unknown,
    };
    let name = var.relname().unwrap_or_default().to_owned();
    RelationUse { relation: RelationName { schemas, name }, access: Access::Read }
}

fn function(call: &nodes::FuncCall) -> Option<FunctionUse> {
    let mut parts = call.funcname().iter().rev().filter_map(Node::as_str);
    let name = parts.next()?.to_owned();
    Some(FunctionUse { schema: parts.next().map(str::to_owned), name })
}
