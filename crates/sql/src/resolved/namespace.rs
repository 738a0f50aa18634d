//! What a name can mean at one place: FROM items, from the inside out, and CTEs.
//!
//! Source: PostgreSQL documentation, "Column References", "LATERAL Subqueries", "WITH Queries".

use std::cell::Cell;
use std::rc::Rc;

use model::ColumnRole;

use super::{Part, Resolved, Resolver, SYSTEM_COLUMNS, Touched};
use crate::catalog::{Oid, Relation};
use crate::few::Few;
use crate::parse::NodeList;
use crate::resolve::each_string;

/// An output column of something that is not a stored relation.
#[derive(Debug, Clone)]
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    /// The stored columns that it *is*, seen through joins only: a use of it is a use of them.
    pub(super) targets: Few<Target>,
    /// References whose tenant column it plainly is.
    pub(super) same: Few<usize>,
}

/// A stored column, and the reference that it is read through.
pub(super) type Target = (Oid, i16, Option<usize>);

impl<'a> Output<'a> {
    pub(super) const fn named(name: &'a str) -> Self {
        Self { name, targets: Few::None, same: Few::None }
    }
}

/// The columns that something yields.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs<'a> {
    pub(super) columns: Vec<Output<'a>>,
    /// There may be more, whose names are not known.
    pub(super) open: bool,
    /// The stored columns that those may be.
    pub(super) rest: Few<Target>,
    /// References that a condition on its rows filters as if it stood inside.
    pub(super) carries: Few<usize>,
}

impl<'a> Outputs<'a> {
    /// With the first columns renamed as an alias list says.
    pub(super) fn renamed(mut self, names: &'a NodeList) -> Self {
        if self.open && !names.is_empty() {
            return self.renamed_somehow(names);
        }
        for (column, name) in self.columns.iter_mut().zip(each_string(names)) {
            column.name = name;
        }
        self
    }

    /// With the first columns renamed, of which nobody knows which they are: each name may be any of them,
    /// and so may what is left.
    fn renamed_somehow(self, names: &'a NodeList) -> Self {
        let rest: Few<Target> = self.everything().copied().collect();
        let named = |name| Output { targets: rest.clone(), ..Output::named(name) };
        let columns = each_string(names).map(named).collect();
        Self { columns, open: true, rest, carries: Few::None }
    }

    /// Every stored column that one of them is, or may be.
    fn everything(&self) -> impl Iterator<Item = &Target> {
        self.columns.iter().flat_map(|output| &*output.targets).chain(&*self.rest)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Columns<'a> {
    /// Of a stored relation, the first ones renamed.
    Stored(&'a Relation, Few<&'a str>),
    /// Of a stored relation of which nothing is known, with the names that an alias list gives.
    Unseen(Rc<Outputs<'a>>),
    /// Of anything else.
    Derived(Rc<Outputs<'a>>),
}

/// One name in a FROM clause.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    /// What a qualifier says to mean it; `None` for a join without alias.
    pub(super) name: Option<&'a str>,
    pub(super) columns: Columns<'a>,
    /// Written without an alias, so that `schema.name` means it, too.
    pub(super) bare: bool,
    /// Whether unqualified names and `*` find its columns.
    pub(super) visible: bool,
    /// Stored relations whose rows a reference to its whole row reads.
    pub(super) rows: Few<&'a Relation>,
    /// The reference to a scoped relation that it is.
    pub(super) reference: Option<usize>,
    /// References inside it that its rows stand or fall with.
    pub(super) carries: Few<usize>,
}

/// FROM items in scope, and what is around them.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespace<'a> {
    pub(super) items: Vec<Item<'a>>,
    pub(super) outer: Option<Rc<Namespace<'a>>>,
}

/// A place in the tree of CTE names: one more than the index of the innermost; 0 is none.
pub(super) type CteScope = usize;

#[derive(Debug)]
pub(super) struct Cte<'a> {
    pub(super) name: &'a str,
    pub(super) outputs: Rc<Outputs<'a>>,
    pub(super) outer: CteScope,
    /// What it touches, if somebody reads it: the server runs no other SELECT in WITH.
    pub(super) touched: Touched<'a>,
    pub(super) read: Cell<bool>,
}

/// Where a name was found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'n, 'a> {
    /// A column of a stored relation.
    Stored(&'a Relation, i16, Option<usize>),
    /// A column of something derived.
    Derived(&'n Output<'a>),
    /// Nowhere, though an item may have more columns than are known, which may be these.
    Perhaps(&'n [Target]),
    /// Nowhere.
    Not,
}

/// What an unqualified name may mean: all columns of that name of one level.
pub(super) enum Hits<'n, 'a> {
    None,
    One(Found<'n, 'a>),
    /// The server calls it ambiguous.
    Several(Vec<Found<'n, 'a>>),
}

impl<'n, 'a> Hits<'n, 'a> {
    fn add(&mut self, hit: Found<'n, 'a>) {
        match self {
            Self::None => *self = Self::One(hit),
            Self::One(first) => *self = Self::Several(vec![*first, hit]),
            Self::Several(all) => all.push(hit),
        }
    }

    pub(super) fn all(&self) -> &[Found<'n, 'a>] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(all) => all,
        }
    }
}

impl<'a> Item<'a> {
    /// Something that is not stored.
    pub(super) fn derived(name: Option<&'a str>, outputs: Outputs<'a>) -> Self {
        Self {
            name,
            columns: Columns::Derived(Rc::new(outputs)),
            bare: false,
            visible: true,
            rows: Few::None,
            reference: None,
            carries: Few::None,
        }
    }

    pub(super) fn find(&self, name: &str) -> Found<'_, 'a> {
        match &self.columns {
            Columns::Stored(relation, renamed) => stored(relation, renamed, name, self.reference),
            Columns::Unseen(outputs) | Columns::Derived(outputs) => {
                match outputs.columns.iter().find(|output| output.name == name) {
                    Some(output) => Found::Derived(output),
                    None if outputs.open => Found::Perhaps(&outputs.rest),
                    None => Found::Not,
                }
            }
        }
    }

    /// Whether it may have more columns than are known.
    pub(super) fn is_open(&self) -> bool {
        match &self.columns {
            Columns::Stored(..) => false,
            Columns::Unseen(outputs) | Columns::Derived(outputs) => outputs.open,
        }
    }

    /// The stored columns that those may be.
    pub(super) fn rest(&self) -> &[Target] {
        match &self.columns {
            Columns::Stored(..) => &[],
            Columns::Unseen(outputs) | Columns::Derived(outputs) => &outputs.rest,
        }
    }

    /// How many columns it has.
    fn width(&self) -> usize {
        match &self.columns {
            Columns::Stored(relation, _) => relation.columns.len(),
            Columns::Unseen(outputs) | Columns::Derived(outputs) => outputs.columns.len(),
        }
    }

    /// Its columns, in order, as outputs; `tenant` is the tenant's column.
    fn outputs(&self, tenant: Option<&str>) -> Outputs<'a> {
        let mut outputs = Outputs::default();
        outputs.open = self.put_into(&mut outputs.columns, tenant, &|_name| true);
        if let Columns::Unseen(all) | Columns::Derived(all) = &self.columns {
            outputs.carries = all.carries.clone();
            outputs.rest = all.rest.clone();
        }
        outputs
    }

    /// Adds those of its columns whose names are `wanted`; whether there may be more.
    fn put_into(
        &self,
        columns: &mut Vec<Output<'a>>,
        tenant: Option<&str>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> bool {
        match &self.columns {
            Columns::Stored(relation, renamed) => {
                let names = renamed.iter().copied().map(Some).chain(std::iter::repeat(None));
                let all = relation.columns.iter().zip(names).map(|(column, renamed)| Output {
                    name: renamed.unwrap_or(&column.name),
                    targets: Few::One((relation.oid, column.number, self.reference)),
                    same: match self.reference {
                        Some(reference) if tenant == Some(&*column.name) => Few::One(reference),
                        Some(_) | None => Few::None,
                    },
                });
                columns.reserve(relation.columns.len());
                columns.extend(all.filter(|output| wanted(output.name)));
                false
            }
            Columns::Unseen(outputs) | Columns::Derived(outputs) => {
                let all = outputs.columns.iter().filter(|output| wanted(output.name));
                columns.reserve(outputs.columns.len());
                columns.extend(all.cloned());
                outputs.open
            }
        }
    }

    fn answers(&self, schema: Option<&str>, name: &str) -> bool {
        match schema {
            None => self.name == Some(name),
            Some(schema) => {
                self.bare
                    && match &self.columns {
                        Columns::Stored(relation, _) => {
                            *relation.schema == *schema && *relation.name == *name
                        }
                        Columns::Unseen(_) => self.name == Some(name),
                        Columns::Derived(_) => false,
                    }
            }
        }
    }
}

fn stored<'n, 'a>(
    relation: &'a Relation,
    renamed: &[&str],
    name: &str,
    reference: Option<usize>,
) -> Found<'n, 'a> {
    let position = renamed.iter().position(|new| *new == name).or_else(|| {
        let behind = relation.columns.iter().skip(renamed.len());
        behind.clone().position(|column| *column.name == *name).map(|at| at + renamed.len())
    });
    if let Some(column) = position.and_then(|at| relation.columns.get(at)) {
        return Found::Stored(relation, column.number, reference);
    }
    match SYSTEM_COLUMNS.iter().find(|(system, _)| *system == name) {
        Some((_, number)) if relation.kind.has_system_columns() => {
            Found::Stored(relation, *number, reference)
        }
        Some(_) | None => Found::Not,
    }
}

impl<'a> Namespace<'a> {
    pub(super) fn inside(outer: Option<Rc<Self>>) -> Self {
        Self { items: Vec::new(), outer }
    }

    /// The levels, from the inside out.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.outer.as_deref())
    }

    /// The item that a qualifier means: the innermost of that name.
    pub(super) fn item(&self, schema: Option<&str>, name: &str) -> Option<&Item<'a>> {
        self.levels().find_map(|level| level.items.iter().find(|item| item.answers(schema, name)))
    }

    /// The columns that an unqualified name means: those of the innermost level that has one. None, and
    /// true, where it may mean one of an item further inside whose columns are not all known.
    /// More than one is ambiguous to the server; all are given.
    pub(super) fn column(&self, name: &str) -> (Hits<'_, 'a>, bool) {
        for level in self.levels() {
            let (hits, perhaps) = level.own_column(name);
            if !matches!(hits, Hits::None) {
                return (hits, false);
            }
            if !perhaps.is_empty() {
                return (Hits::None, true);
            }
        }
        (Hits::None, false)
    }

    /// The columns that an unqualified name may mean: those of the innermost level that has one, and what
    /// items whose columns are not all known may have up to there.
    pub(super) fn candidates(&self, name: &str) -> (Hits<'_, 'a>, Vec<Found<'_, 'a>>) {
        let mut passed = Vec::new();
        for level in self.levels() {
            let (hits, perhaps) = level.own_column(name);
            passed.extend(perhaps);
            if !matches!(hits, Hits::None) {
                return (hits, passed);
            }
        }
        (Hits::None, passed)
    }

    /// The columns of that name at the innermost level itself, and what may be such.
    pub(super) fn own_column(&self, name: &str) -> (Hits<'_, 'a>, Vec<Found<'_, 'a>>) {
        let (mut hits, mut perhaps) = (Hits::None, Vec::new());
        for item in self.items.iter().filter(|item| item.visible) {
            match item.find(name) {
                Found::Not => {}
                found @ Found::Perhaps(_) => perhaps.push(found),
                hit @ (Found::Stored(..) | Found::Derived(_)) => hits.add(hit),
            }
        }
        (hits, perhaps)
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn cte(&self, mut scope: CteScope, name: &str) -> Option<Rc<Outputs<'a>>> {
        while let Some(cte) = scope.checked_sub(1).and_then(|index| self.ctes.get(index)) {
            if cte.name == name {
                cte.read.set(true);
                return Some(Rc::clone(&cte.outputs));
            }
            scope = cte.outer;
        }
        None
    }

    pub(super) fn use_found(&mut self, found: Found<'_, 'a>, role: ColumnRole) -> Resolved<()> {
        match found {
            Found::Stored(relation, number, _) => {
                self.used(relation.oid, Part::Column(number), role)
            }
            Found::Derived(output) => self.use_targets(&output.targets, role),
            Found::Perhaps(targets) => self.use_targets(targets, role),
            Found::Not => Ok(()),
        }
    }

    fn use_targets(&mut self, targets: &[Target], role: ColumnRole) -> Resolved<()> {
        for (relation, number, _) in targets {
            self.used(*relation, Part::Column(*number), role)?;
        }
        Ok(())
    }

    /// The columns of an item, each at the cost of a step: queries of queries may double them.
    pub(super) fn columns_of(&self, item: &Item<'a>) -> Resolved<Outputs<'a>> {
        self.spend(item.width())?;
        Ok(item.outputs(self.tenant))
    }

    /// Adds those of an item's columns whose names are `wanted`, at the same cost; whether there may be more.
    pub(super) fn put_columns(
        &self,
        item: &Item<'a>,
        columns: &mut Vec<Output<'a>>,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Resolved<bool> {
        self.spend(item.width())?;
        Ok(item.put_into(columns, self.tenant, wanted))
    }

    /// The columns of that name among those of several items, and what may be such.
    pub(super) fn columns_named(
        &self,
        items: &[Item<'a>],
        name: &str,
    ) -> Resolved<Vec<Output<'a>>> {
        let mut found = Vec::new();
        for item in items.iter().filter(|item| item.visible) {
            self.put_columns(item, &mut found, &|own| own == name)?;
            if let Found::Perhaps(targets) = item.find(name) {
                let targets = targets.iter().copied().collect();
                found.push(Output { targets, ..Output::named("") });
            }
        }
        Ok(found)
    }

    /// A reference to a whole row.
    pub(super) fn use_row(&mut self, item: &Item<'a>, role: ColumnRole) -> Resolved<()> {
        for relation in &item.rows {
            self.used_whole(relation, role)?;
        }
        if item.rows.is_empty() {
            // The alias of USING: its columns alone are its row.
            self.use_all(item, role)?;
        }
        Ok(())
    }

    /// All columns of an item, as `*` reads them.
    pub(super) fn use_all(&mut self, item: &Item<'a>, role: ColumnRole) -> Resolved<Outputs<'a>> {
        let outputs = self.columns_of(item)?;
        for output in &outputs.columns {
            self.use_targets(&output.targets, role)?;
        }
        self.use_targets(&outputs.rest, role)?;
        Ok(outputs)
    }
}
