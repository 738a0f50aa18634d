//! FROM: what each item yields, and which names it brings into scope.

use std::collections::HashSet;
use std::rc::Rc;

use model::{Access, ColumnRole, Unknown};

use super::certain::{Certainty, UNSEEN};
use super::expression::count;
use super::figure;
use super::namespace::{Columns, CteScope, Item, Namespace, Output, Outputs, Target};
use super::tenancy::{Binds, references};
use super::{Call, Part, Resolved, Resolver};
use crate::catalog::{Function, FunctionKind, Oid, Relation, TypeKind};
use crate::few::Few;
use crate::newer;
use crate::parse::{Node, NodeList, nodes, raw};
use crate::resolve::{Qualified, each_string};

/// So many pairs are compared one by one.
const FEW_PAIRS: usize = 256;

/// Where FROM items stand.
pub(super) struct Place<'a> {
    /// What is around the query.
    pub(super) outer: Option<Rc<Namespace<'a>>>,
    /// CTEs in scope.
    pub(super) ctes: CteScope,
    /// Items to the left, which LATERAL sees.
    pub(super) left: Vec<Item<'a>>,
}

impl<'a> Place<'a> {
    fn lateral(&self) -> Rc<Namespace<'a>> {
        Rc::new(Namespace { items: self.left.clone(), outer: self.outer.clone() })
    }

    fn around(&self, lateral: bool) -> Option<Rc<Namespace<'a>>> {
        if lateral { Some(self.lateral()) } else { self.outer.clone() }
    }
}

impl<'a> Resolver<'a> {
    /// A FROM clause: every item in order, each LATERAL one with those before it in scope.
    pub(super) fn sources(&mut self, clause: &'a NodeList, place: &mut Place<'a>) -> Resolved<()> {
        for node in clause {
            self.source(node, place)?;
        }
        Ok(())
    }

    /// One item: adds the names that it brings.
    pub(super) fn source(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Resolved<()> {
        self.spend(1)?;
        self.deeper(|this| this.source_node(node, place))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else stands in FROM: unknown")]
    fn source_node(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Resolved<()> {
        let item = match node {
            Node::RangeVar(var) => self.relation_source(var, place)?,
            Node::RangeSubselect(sub) => {
                let outer = place.around(sub.lateral);
                let outputs = self.query(sub.subquery(), outer.as_ref(), place.ctes)?;
                derived(outputs, sub.alias(), None)
            }
            Node::RangeFunction(function) => self.function_source(function, place)?,
            Node::RangeTableFunc(function) => self.xml_source(function, place)?,
            Node::JsonTable(table) => self.json_source(table, place)?,
            Node::RangeTableSample(sample) => {
                let namespace = place.lateral();
                self.expressions(sample.args(), &namespace, place.ctes, ColumnRole::Filter)?;
                self.expression(sample.repeatable(), &namespace, place.ctes, ColumnRole::Filter)?;
                self.method(sample);
                return self.source(sample.relation(), place);
            }
            Node::JoinExpr(join) => return self.join_source(join, place),
            _ => return Err(Unknown::UnknownStatement),
        };
        place.left.push(item);
        Ok(())
    }

    /// What a function yields becomes a value of this type.
    fn becomes(&mut self, kind: Option<&'a nodes::TypeName>) {
        if let Some(kind) = kind {
            self.note_call(Node::TypeName(kind));
        }
    }

    /// A sampling method is a function of its name; two are built in.
    fn method(&mut self, sample: &'a nodes::RangeTableSample) {
        let written = Qualified::of_list(sample.method());
        let other = written.filter(|one| !matches!(one.name, "system" | "bernoulli"));
        if let Some(method) = other {
            self.touched.calls.add(Call::Function(method.schema, method.name, 1));
        }
    }

    fn relation_source(
        &mut self,
        var: &'a nodes::RangeVar,
        place: &Place<'a>,
    ) -> Resolved<Item<'a>> {
        let name = var.relname().unwrap_or_default();
        if var.schemaname().is_none()
            && let Some(outputs) = self.cte(place.ctes, name)
        {
            return Ok(derived(Outputs::clone(&outputs), var.alias(), Some(name)));
        }
        let relation = self.relation(var)?;
        self.used(relation.oid, Part::Any, ColumnRole::Output)?;
        let reference = self.refer(relation, Access::Read, Some(var.location))?;
        Ok(Item { reference, ..item_of(relation, var) })
    }

    /// A function: its columns by declared list, by the catalog, or a single one of its own name.
    fn function_source(
        &mut self,
        range: &'a nodes::RangeFunction,
        place: &Place<'a>,
    ) -> Resolved<Item<'a>> {
        let namespace = place.lateral();
        let mut outputs = Outputs::default();
        let only = range.functions().len() == 1;
        let alias = range.alias();
        let mut name = None;
        for entry in range.functions() {
            let (call, declared) = parts(entry);
            // What goes in may come out.
            self.expression(call, &namespace, place.ctes, ColumnRole::Output)?;
            let figured = figure::of(call);
            let scalar = match alias.and_then(nodes::Alias::aliasname) {
                Some(alias) if only => alias,
                // A name that is not known might be any.
                Some(_) | None => figured.ok_or(Unknown::UnknownStatement)?,
            };
            name = name.or(figured);
            if range.coldeflist().is_empty() && declared.is_none_or(NodeList::is_empty) {
                let found = self.function_outputs(call, scalar);
                outputs.columns.extend(found.columns);
                outputs.open |= found.open;
            }
            for column in declared.into_iter().flatten() {
                if let Node::ColumnDef(column) = column {
                    self.becomes(column.type_name());
                }
            }
            let declared = declared.into_iter().flatten();
            outputs.columns.extend(declared.filter_map(|node| definition(node)));
        }
        for column in range.coldeflist() {
            self.becomes(column.type_name());
            outputs.columns.push(Output::named(column.colname().unwrap_or_default()));
        }
        if range.ordinality {
            outputs.columns.push(Output::named("ordinality"));
        }
        Ok(derived(outputs, alias, name))
    }

    /// What a function in FROM yields, judged by every function that the name may mean.
    fn function_outputs(&self, call: Node<'a>, scalar: &'a str) -> Outputs<'a> {
        if newer::form(call).and_then(|form| form.read_by(self.server_major)).is_some() {
            return Outputs { open: true, ..Outputs::default() };
        }
        let Node::FuncCall(call) = call else { return form_outputs(call, scalar) };
        let Some(written) = Qualified::of_list(call.funcname()) else {
            return Outputs { open: true, ..Outputs::default() };
        };
        let count = count(call);
        let certain =
            |certain: Certainty<'_>| certain.function((written.schema, written.name), count);
        if !self.certainty().is_none_or(certain) {
            return Outputs { open: true, ..Outputs::default() };
        }
        let mut answer: Option<Vec<&'a str>> = None;
        for function in self.functions_named(written) {
            if matches!(function.kind, FunctionKind::Procedure) {
                continue;
            }
            let Some(names) = self.names_of_outputs(function, scalar) else {
                return Outputs { open: true, ..Outputs::default() };
            };
            match &answer {
                None => answer = Some(names),
                Some(before) if *before == names => {}
                Some(_) => return Outputs { open: true, ..Outputs::default() },
            }
        }
        match answer {
            None => Outputs { open: true, ..Outputs::default() },
            Some(names) => Outputs {
                columns: names.into_iter().map(Output::named).collect(),
                ..Outputs::default()
            },
        }
    }

    /// The columns of what a function returns in FROM; `None` if only the call tells.
    fn names_of_outputs(&self, function: &'a Function, scalar: &'a str) -> Option<Vec<&'a str>> {
        if function.outputs.len() > 1 {
            return Some(function.outputs.iter().map(|(name, _)| &**name).collect());
        }
        // A single OUT column is what the function returns: a row is taken apart, a scalar has its name.
        match self.row_of(function.returns) {
            Some(relation) => Some(relation.columns.iter().map(|column| &*column.name).collect()),
            None if self.is_opaque_row(function.returns) => None,
            None => {
                let own = function.outputs.first().map_or("", |(name, _)| &**name);
                Some(vec![if own.is_empty() { scalar } else { own }])
            }
        }
    }

    /// The relation whose rows have this type, through domains and arrays.
    fn row_of(&self, oid: Oid) -> Option<&'a Relation> {
        let found = self.catalog.type_by_oid(oid)?;
        match found.kind {
            TypeKind::Composite(relation) => self.catalog.relation_by_oid(relation),
            TypeKind::Domain(base) => match self.catalog.type_by_oid(base)?.kind {
                TypeKind::Composite(relation) => self.catalog.relation_by_oid(relation),
                TypeKind::Base
                | TypeKind::Domain(_)
                | TypeKind::Enum
                | TypeKind::Range
                | TypeKind::Multirange
                | TypeKind::Pseudo => None,
            },
            TypeKind::Base
            | TypeKind::Enum
            | TypeKind::Range
            | TypeKind::Multirange
            | TypeKind::Pseudo => None,
        }
    }

    /// `record`, `anyelement` and their like: the shape depends on the call.
    fn is_opaque_row(&self, oid: Oid) -> bool {
        self.catalog.type_by_oid(oid).is_none_or(|found| {
            matches!(found.kind, TypeKind::Pseudo | TypeKind::Domain(_)) && &*found.name != "void"
        })
    }

    fn xml_source(
        &mut self,
        range: &'a nodes::RangeTableFunc,
        place: &Place<'a>,
    ) -> Resolved<Item<'a>> {
        let namespace = place.lateral();
        let role = ColumnRole::Output;
        self.expression(range.docexpr(), &namespace, place.ctes, role)?;
        self.expression(range.rowexpr(), &namespace, place.ctes, role)?;
        self.expressions(range.namespaces(), &namespace, place.ctes, role)?;
        let mut outputs = Outputs::default();
        for column in range.columns() {
            self.expression(column.colexpr(), &namespace, place.ctes, role)?;
            self.expression(column.coldefexpr(), &namespace, place.ctes, role)?;
            self.becomes(column.type_name());
            outputs.columns.push(Output::named(column.colname().unwrap_or_default()));
        }
        Ok(derived(outputs, range.alias(), Some("xmltable")))
    }

    fn json_source(
        &mut self,
        table: &'a nodes::JsonTable,
        place: &Place<'a>,
    ) -> Resolved<Item<'a>> {
        let namespace = place.lateral();
        self.expression(Node::JsonTable(table), &namespace, place.ctes, ColumnRole::Output)?;
        let mut outputs = Outputs::default();
        let mut waiting: Vec<&'a nodes::JsonTableColumn> = table.columns().iter().collect();
        waiting.reverse();
        while let Some(column) = waiting.pop() {
            self.spend(1)?;
            let nested: Vec<_> = column.columns().iter().filter_map(json_column).collect();
            if nested.is_empty() {
                outputs.columns.push(Output::named(column.name().unwrap_or_default()));
            }
            waiting.extend(nested.into_iter().rev());
        }
        Ok(derived(outputs, table.alias(), Some("json_table")))
    }

    /// A join: both sides' names, and columns in which USING ones are one.
    fn join_source(&mut self, join: &'a nodes::JoinExpr, place: &mut Place<'a>) -> Resolved<()> {
        let start = place.left.len();
        self.source(join.larg(), place)?;
        let middle = place.left.len() - start;
        self.source(join.rarg(), place)?;
        let items = place.left.split_off(start);
        let inside = Rc::new(Namespace { items, outer: place.outer.clone() });
        let Some((left, right)) = inside.items.split_at_checked(middle) else {
            return Err(Unknown::UnknownStatement);
        };
        let binds = match join.jointype {
            raw::JoinType::JOIN_INNER => Binds::All,
            raw::JoinType::JOIN_LEFT => Binds::Only(references(right)),
            raw::JoinType::JOIN_RIGHT => Binds::Only(references(left)),
            _ => Binds::Nothing,
        };
        let shared = self.shared_columns(join, left, right)?;
        let mut merged = self.merge(&shared, left, right)?;
        let (left_same, right_same) = (self.sames(left, &shared)?, self.sames(right, &shared)?);
        let mut columns = Outputs::default();
        columns.open = self.others(&shared, (left, right), &mut columns.columns)?;
        columns.rest = rest_of(left, right);
        if join.is_natural {
            self.perhaps_joined(left, right)?;
        }
        let rows = rows_of(left, right);
        if !shared.is_empty() || join.is_natural {
            self.equals();
        }
        self.expression(join.quals(), &inside, place.ctes, ColumnRole::Join)?;
        self.bound_by(join.quals(), &inside, &binds)?;
        self.same_tenants(&mut merged, join.jointype, (&left_same, &right_same), (&inside, &binds));
        if !merged.is_empty() {
            columns.columns.splice(0..0, merged.iter().cloned());
        }
        let first = place.left.len();
        match Rc::try_unwrap(inside) {
            Ok(namespace) => place.left.extend(namespace.items),
            Err(shared) => place.left.extend(shared.items.iter().cloned()),
        }
        joined(join, (merged, columns, rows), (place, first));
        Ok(())
    }

    /// Columns that USING makes one are equal; the one that is left has the value of the side that
    /// is always there.
    fn same_tenants(
        &mut self,
        merged: &mut [Output<'a>],
        kind: raw::JoinType::Type,
        (left, right): (&[Vec<usize>], &[Vec<usize>]),
        (namespace, binds): (&Namespace<'a>, &Binds),
    ) {
        for (output, (left, right)) in merged.iter_mut().zip(left.iter().zip(right)) {
            for (one, other) in
                left.iter().flat_map(|one| right.iter().map(move |other| (one, other)))
            {
                if self.are_compared_alike(*one, *other) && !self.has_own_equality(*one) {
                    self.linked(*one, *other, namespace, binds);
                    self.linked(*other, *one, namespace, binds);
                }
            }
            output.same = match kind {
                raw::JoinType::JOIN_INNER => left.iter().chain(right).copied().collect(),
                raw::JoinType::JOIN_LEFT => left.iter().copied().collect(),
                raw::JoinType::JOIN_RIGHT => right.iter().copied().collect(),
                _ => Few::None,
            };
        }
    }

    /// For each name, the references whose tenant column it is on one side of a join.
    fn sames(&self, side: &[Item<'a>], names: &[&str]) -> Resolved<Vec<Vec<usize>>> {
        if self.tenant.is_none() {
            return Ok(vec![Vec::new(); names.len()]);
        }
        let of = |name: &&str| {
            let all = self.columns_named(side, name)?;
            Ok(if let [only] = all.as_slice() { only.same.to_vec() } else { Vec::new() })
        };
        names.iter().map(of).collect()
    }

    /// Adds the columns of a join but those of USING; whether there may be more.
    fn others(
        &self,
        shared: &[&str],
        (left, right): (&[Item<'a>], &[Item<'a>]),
        columns: &mut Vec<Output<'a>>,
    ) -> Resolved<bool> {
        let shared: HashSet<&str> = shared.iter().copied().collect();
        let wanted = |name: &str| shared.is_empty() || !shared.contains(name);
        let mut open = false;
        for item in visible(left).chain(visible(right)) {
            open |= self.put_columns(item, columns, &wanted)?;
        }
        Ok(open)
    }

    /// The names of USING or NATURAL.
    fn shared_columns(
        &self,
        join: &'a nodes::JoinExpr,
        left: &[Item<'a>],
        right: &[Item<'a>],
    ) -> Resolved<Vec<&'a str>> {
        if !join.is_natural {
            return Ok(join.using_clause().iter().filter_map(nodes::String::sval).collect());
        }
        let mut theirs: HashSet<&str> = HashSet::new();
        for item in visible(right) {
            theirs.extend(self.columns_of(item)?.columns.iter().map(|output| output.name));
        }
        let mut shared = Vec::new();
        for item in visible(left) {
            let mine = self.columns_of(item)?.columns.into_iter().map(|output| output.name);
            shared.extend(mine.filter(|name| theirs.contains(name)));
        }
        Ok(shared)
    }

    /// NATURAL with columns that are not known: each of the other side's may be one of them.
    fn perhaps_joined(&mut self, left: &[Item<'a>], right: &[Item<'a>]) -> Resolved<()> {
        for (side, other) in [(left, right), (right, left)] {
            if visible(side).any(Item::is_open) {
                for item in visible(side).chain(visible(other)) {
                    self.use_all(item, ColumnRole::Join)?;
                }
            }
        }
        Ok(())
    }

    fn merge(
        &mut self,
        shared: &[&'a str],
        left: &[Item<'a>],
        right: &[Item<'a>],
    ) -> Resolved<Vec<Output<'a>>> {
        let mut merged = Vec::new();
        for name in shared {
            let mut targets = Vec::new();
            for side in [left, right] {
                let found = self.columns_named(side, name)?;
                targets.extend(found.iter().flat_map(|output| output.targets.iter().copied()));
            }
            for (relation, number, _) in &targets {
                self.used(*relation, Part::Column(*number), ColumnRole::Join)?;
            }
            let targets = targets.into_iter().collect();
            merged.push(Output { targets, ..Output::named(name) });
        }
        Ok(merged)
    }
}

/// What a join makes of its items, which stand at `first` and behind it.
fn joined<'a>(
    join: &'a nodes::JoinExpr,
    (merged, columns, rows): (Vec<Output<'a>>, Outputs<'a>, Few<&'a Relation>),
    (place, first): (&mut Place<'a>, usize),
) {
    for item in place.left.iter_mut().skip(first) {
        item.visible = false;
    }
    if let Some(alias) = join.join_using_alias().and_then(nodes::Alias::aliasname) {
        let columns = Outputs { columns: merged, ..Outputs::default() };
        place.left.push(Item { visible: false, ..Item::derived(Some(alias), columns) });
    }
    if let Some(alias) = join.alias() {
        let items = place.left.get(first..).unwrap_or_default();
        let carries = references(items).into_iter().collect();
        place.left.truncate(first);
        let outputs = columns.renamed(alias.colnames());
        place.left.push(Item { rows, carries, ..Item::derived(alias.aliasname(), outputs) });
    } else {
        place.left.push(Item { rows, ..Item::derived(None, columns) });
    }
}

/// The relations whose rows a join is made of, each once: the names of inner joins have them, too. The last item of
/// a side has those of all before it.
fn rows_of<'a>(left: &[Item<'a>], right: &[Item<'a>]) -> Few<&'a Relation> {
    let of = |side: &[Item<'a>]| side.last().map(|last| last.rows.clone()).unwrap_or_default();
    let (left, right) = (of(left), of(right));
    let many = left.len().saturating_mul(right.len()) > FEW_PAIRS;
    let known: HashSet<Oid> = left.iter().filter(|_| many).map(|one| one.oid).collect();
    let is_new = |one: &&&Relation| {
        if many { !known.contains(&one.oid) } else { !left.iter().any(|own| own.oid == one.oid) }
    };
    left.iter().chain(right.iter().filter(is_new)).copied().collect()
}

/// What columns of a join that are not known may be.
fn rest_of<'a>(left: &[Item<'a>], right: &[Item<'a>]) -> Few<Target> {
    visible(left).chain(visible(right)).flat_map(|item| item.rest().iter().copied()).collect()
}

fn visible<'i, 'a>(items: &'i [Item<'a>]) -> impl Iterator<Item = &'i Item<'a>> {
    items.iter().filter(|item| item.visible)
}

/// The columns of a stored relation, the first ones renamed.
pub(super) fn columns_of<'a>(relation: &'a Relation, renamed: Few<&'a str>) -> Columns<'a> {
    if relation.oid != UNSEEN.oid {
        return Columns::Stored(relation, renamed);
    }
    let columns = renamed.iter().copied().map(Output::named).collect();
    Columns::Unseen(Rc::new(Outputs { columns, open: true, ..Outputs::default() }))
}

/// A stored relation under the name that the statement gives it.
pub(super) fn item_of<'a>(relation: &'a Relation, var: &'a nodes::RangeVar) -> Item<'a> {
    let alias = var.alias();
    let renamed = alias.map(|alias| each_string(alias.colnames()).collect()).unwrap_or_default();
    Item {
        name: alias.and_then(nodes::Alias::aliasname).or_else(|| var.relname()),
        columns: columns_of(relation, renamed),
        bare: alias.is_none(),
        visible: true,
        rows: Few::One(relation),
        reference: None,
        carries: Few::None,
    }
}

fn derived<'a>(
    outputs: Outputs<'a>,
    alias: Option<&'a nodes::Alias>,
    name: Option<&'a str>,
) -> Item<'a> {
    let outputs = match alias {
        Some(alias) => outputs.renamed(alias.colnames()),
        None => outputs,
    };
    let carries = outputs.carries.clone();
    let name = alias.and_then(nodes::Alias::aliasname).or(name);
    Item { carries, ..Item::derived(name, outputs) }
}

/// What a form that is no call yields in FROM: a cast, COALESCE and their like may make rows.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all others only types tell")]
fn form_outputs<'a>(form: Node<'a>, scalar: &'a str) -> Outputs<'a> {
    match form {
        Node::SQLValueFunction(_) | Node::XmlExpr(_) | Node::XmlSerialize(_) => {
            Outputs { columns: vec![Output::named(scalar)], ..Outputs::default() }
        }
        _ => Outputs { open: true, ..Outputs::default() },
    }
}

/// `ROWS FROM` items are lists of a call and its column definitions.
fn parts(entry: Node<'_>) -> (Node<'_>, Option<&NodeList>) {
    let Node::NodeList(list) = entry else { return (entry, None) };
    let mut nodes = list.iter();
    let call = nodes.next().unwrap_or(Node::None);
    let declared = match nodes.next() {
        Some(Node::NodeList(declared)) => Some(declared),
        Some(_) | None => None,
    };
    (call, declared)
}

fn definition(node: Node<'_>) -> Option<Output<'_>> {
    let Node::ColumnDef(column) = node else { return None };
    Some(Output::named(column.colname().unwrap_or_default()))
}

fn json_column(node: Node<'_>) -> Option<&nodes::JsonTableColumn> {
    let Node::JsonTableColumn(column) = node else { return None };
    Some(column)
}
