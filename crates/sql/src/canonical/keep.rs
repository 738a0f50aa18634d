//! Which constants of a statement bear meaning.

use crate::calls;
use crate::children::{ROOM, each_branch};
use crate::limits::MAX_NODES;
use crate::parse::{ConstValue, Node, nodes, present};
use crate::resolve::{Qualified, last_string, last_type_name};

/// What becomes of a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It stays as it is.
    Keep,
    /// A number of rows, by its class.
    Limit(&'static str),
}

/// Operators whose right side names a part of a document.
const KEYS: &[&str] = &["->", "->>", "#>", "#>>", "#-", "?", "?|", "?&", "@?", "@@"];

/// Whether a statement is about rows: of any other every literal counts (settings, definitions, files, passwords).
pub(crate) fn is_about_rows(root: Node<'_>) -> bool {
    matches!(
        root,
        Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)
            | Node::ExplainStmt(_)
            | Node::PrepareStmt(_)
            | Node::DeclareCursorStmt(_)
            | Node::CreateTableAsStmt(_)
    )
}

/// Constants that bear meaning, by place, gathered along a walk that sees every node above those that it holds, and
/// later nodes first.
#[derive(Debug)]
pub(crate) struct Marks<'t> {
    /// The tenant's column.
    tenant: Option<&'t str>,
    all: Vec<(usize, Mark)>,
}

impl<'t> Marks<'t> {
    /// None yet.
    pub(crate) const fn new(tenant: Option<&'t str>) -> Self {
        Self { tenant, all: Vec::new() }
    }

    /// Looks at a node, below which constants bear meaning anyhow if `keep`: whether they do below it.
    pub(crate) fn visit(&mut self, node: Node<'_>, keep: bool) -> bool {
        if let Node::A_Const(constant) = node {
            if keep {
                self.add(constant, Mark::Keep);
            }
            return keep;
        }
        if let Node::SelectStmt(select) = node {
            self.limits(select);
            self.positions(select);
            return keep;
        }
        keep || keeps(node, self.tenant)
    }

    /// By place; the last look at one counts.
    pub(super) fn sorted(mut self) -> Vec<(usize, Mark)> {
        self.all.reverse();
        self.all.sort_by_key(|(place, _)| *place);
        self.all.dedup_by_key(|(place, _)| *place);
        self.all
    }

    fn add(&mut self, constant: &nodes::A_Const, mark: Mark) {
        if let Ok(place) = usize::try_from(constant.location) {
            self.all.push((place, mark));
        }
    }

    /// LIMIT and OFFSET, by their class.
    fn limits(&mut self, select: &nodes::SelectStmt) {
        for count in [select.limit_count(), select.limit_offset()] {
            if let Some(Node::A_Const(constant)) = present(count)
                && let Some(ConstValue::Integer(rows)) = constant.val()
            {
                let class = match rows {
                    ..=0 => "?rows=0",
                    1 => "?rows=1",
                    2..=100 => "?rows<=100",
                    101..=1_000 => "?rows<=1000",
                    1_001.. => "?rows>1000",
                };
                self.add(constant, Mark::Limit(class));
            }
        }
    }

    /// Numbers that stand for output columns.
    fn positions(&mut self, select: &nodes::SelectStmt) {
        let sorted = select.sort_clause().iter().map(|sort| sort.node());
        let all = sorted.chain(select.group_clause()).chain(select.distinct_clause());
        for node in all {
            if let Node::A_Const(constant) = node {
                self.add(constant, Mark::Keep);
            }
        }
    }
}

/// The constants of `root` that bear meaning; `None` if there are too many nodes.
pub(super) fn marks<'t>(root: Node<'_>, tenant: Option<&'t str>) -> Option<Marks<'t>> {
    let mut marks = Marks::new(tenant);
    let mut stack = Vec::with_capacity(ROOM);
    stack.push((root, false));
    let mut steps = 1_usize;
    while let Some((node, keep)) = stack.pop() {
        if steps > MAX_NODES {
            return None;
        }
        let below = marks.visit(node, keep);
        let before = stack.len();
        let names = each_branch(node, &mut |child| stack.push((child, below)));
        steps += names + stack.len() - before;
    }
    (steps <= MAX_NODES).then_some(marks)
}

/// Whether constants below a node bear meaning.
#[expect(clippy::wildcard_enum_match_arm, reason = "nodes whose constants are values")]
fn keeps(node: Node<'_>, tenant: Option<&str>) -> bool {
    match node {
        Node::DefElem(_) | Node::TypeName(_) => true,
        Node::TypeCast(cast) => {
            let name = cast.type_name().and_then(last_type_name);
            name.is_some_and(|name| name.starts_with("reg") || name == "bool")
        }
        Node::FuncCall(call) => Qualified::of_list(call.funcname()).is_some_and(|written| {
            written.name == "generate_series" || calls::reads_texts(written.name)
        }),
        Node::A_Expr(expression) => {
            let operator = last_string(expression.name()).unwrap_or_default();
            let about = |node: Node<'_>| {
                matches!(node, Node::ColumnRef(column)
                    if tenant.is_some() && last_string(column.fields()) == tenant)
            };
            KEYS.contains(&operator) || about(expression.lexpr()) || about(expression.rexpr())
        }
        _ => false,
    }
}
