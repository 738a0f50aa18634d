//! What is attached to the relations that a statement touches: triggers, rules, row security, expressions,
//! foreign keys.
//!
//! What is *not* here: what functions do, and which rules ask about it. Invariants: what happens at one event
//! counts at that event, whether or not the statement's rows make it happen; the relation's own columns, which
//! a condition or an expression is about, are not counted again; everything that is behind is followed, each event of a relation
//! once.
//!
//! Source: PostgreSQL documentation, "Overview of Trigger Behavior", "The Rule System", "Row Security
//! Policies", "Constraints".

use std::collections::BTreeSet;
use std::rc::Rc;

use model::{ColumnRole, Unknown};

use super::from::columns_of;
use super::namespace::{Item, Namespace};
use super::reach::Reach;
use super::{Call, Kept, Part, Resolved, Resolver, Use};
use crate::catalog::{Attached, AttachedKind, Event, Oid, Relation, RelationKind};
use crate::few::Few;
use crate::parse::{self, Node, nodes};

/// A trigger's function, and the relation that calls it.
pub(super) type Fired = (Oid, Oid);

/// What one event of one relation brings with it.
#[derive(Debug, Default)]
pub(super) struct SetOff {
    pub(super) touched: Kept,
    pub(super) fired: BTreeSet<Fired>,
    /// What expressions of columns call.
    pub(super) expressions: BTreeSet<Call<Box<str>>>,
    /// The same, or what goes with it, of children: to the same columns.
    pub(super) below: Vec<(Oid, Event)>,
}

impl<'a> Reach<'a> {
    /// What happens besides, where this is done to the relation, and these columns change.
    ///
    /// # Errors
    /// A rule or a condition that cannot be followed.
    pub(super) fn set_off(
        &mut self,
        (relation, event): (&'a Relation, Event),
        changes: impl Fn(i16) -> bool,
    ) -> Resolved<SetOff> {
        let mut found = SetOff::default();
        self.elsewhere(relation, event, &mut found)?;
        let catalog = self.catalog;
        // A trigger may change a key that the statement does not.
        let triggers = || {
            catalog.attached(relation.oid).any(|one| {
                matches!(one.what, AttachedKind::Trigger { .. }) && one.on.contains(&event)
            })
        };
        let applies = |one: &&Attached| {
            let any = event != Event::Update
                || one.columns.is_empty()
                || (matches!(one.what, AttachedKind::Cascade { .. } | AttachedKind::Moves)
                    && triggers());
            one.on.contains(&event) && (any || one.columns.iter().any(|column| changes(*column)))
        };
        for attached in catalog.attached(relation.oid).filter(applies) {
            self.one(relation, attached, &mut found)?;
        }
        Ok(found)
    }

    /// The same event of what is behind the relation, by its nature.
    fn elsewhere(
        &mut self,
        relation: &'a Relation,
        event: Event,
        found: &mut SetOff,
    ) -> Resolved<()> {
        let below = match event {
            Event::Select => false,
            Event::Insert => relation.kind == RelationKind::Partitioned,
            Event::Update
            | Event::Delete
            | Event::Truncate
            | Event::TruncateCascade
            | Event::DropCascade => true,
        };
        if below {
            let children = self.catalog.children(relation.oid);
            found.below.extend(children.iter().map(|child| (*child, event)));
        }
        if event == Event::TruncateCascade {
            found.touched.events.insert((relation.oid, Event::Truncate));
        }
        if relation.definition.is_some()
            && matches!(event, Event::Insert | Event::Update | Event::Delete)
        {
            // A simple view hands on what is done to it (PostgreSQL documentation, "Updatable Views").
            let bases = self.bases(relation)?;
            found.touched.events.extend(bases.into_iter().map(|base| (base, event)));
        }
        Ok(())
    }

    /// The table behind a simple view: its query names one alone. Of a view of the session's own there is no
    /// text, so whatever it reads.
    fn bases(&mut self, view: &'a Relation) -> Resolved<Vec<Oid>> {
        let text = view.definition.as_deref().unwrap_or_default();
        if self.catalog.own().view(view.oid).is_some() || text.is_empty() {
            let reads = self.reads(view)?;
            let all = reads.always.iter().chain(reads.columns.iter().flatten());
            return Ok(all.map(|used| used.relation).collect());
        }
        let tree = parse::parse(text).map_err(|_message| Unknown::ParseError)?;
        let mut bases = Vec::new();
        for raw in tree.statements() {
            let Node::SelectStmt(select) = raw.stmt() else { continue };
            let mut from = select.from_clause().iter();
            if let (Some(Node::RangeVar(var)), None) = (from.next(), from.next()) {
                let resolver = Resolver::new(self.catalog, self.path(), self.left);
                bases.push(resolver.relation(var)?.oid);
            }
        }
        Ok(bases)
    }

    fn one(
        &self,
        relation: &'a Relation,
        attached: &'a Attached,
        found: &mut SetOff,
    ) -> Resolved<()> {
        match &attached.what {
            AttachedKind::Trigger { function, definition } => {
                found.fired.insert((*function, relation.oid));
                if let Some(definition) = definition {
                    self.condition_of_trigger(definition, &mut found.touched)?;
                }
            }
            AttachedKind::Rule(definition) => {
                self.rule(relation, definition, &mut found.touched)?;
            }
            AttachedKind::Policy(condition) | AttachedKind::Expression(condition) => {
                let mut touched = Kept::default();
                let is_policy = matches!(attached.what, AttachedKind::Policy(_));
                self.expression_on(relation, condition, &mut touched)?;
                // Its own columns decide there, and go nowhere.
                touched.uses.retain(|used| used.relation != relation.oid);
                if !is_policy {
                    found.expressions.append(&mut touched.calls);
                }
                found.touched.extend(touched);
            }
            AttachedKind::Cascade { relation, does, columns } => {
                let parts = columns.iter().map(|number| Part::Column(*number));
                found.touched.uses.extend(parts.chain([Part::Any]).map(|part| Use {
                    relation: *relation,
                    part,
                    role: ColumnRole::Write,
                }));
                found.touched.events.insert((*relation, *does));
            }
            AttachedKind::Moves => {
                for child in self.catalog.children(relation.oid) {
                    found.touched.events.insert((*child, Event::Insert));
                    found.touched.events.insert((*child, Event::Delete));
                }
            }
            AttachedKind::Dependent(view) => {
                let (part, role) = (Part::Any, ColumnRole::Write);
                found.touched.uses.insert(Use { relation: *view, part, role });
                found.touched.events.insert((*view, Event::DropCascade));
            }
        }
        Ok(())
    }

    /// What the actions of a rule touch, and its condition.
    fn rule(&self, relation: &'a Relation, definition: &str, all: &mut Kept) -> Resolved<()> {
        let tree = parse::parse(definition).map_err(|_message| Unknown::ParseError)?;
        for raw in tree.statements() {
            let Node::RuleStmt(rule) = raw.stmt() else { return Err(Unknown::UnknownStatement) };
            let mut resolver = self.resolver(relation);
            resolver.rule(rule)?;
            all.append(resolver.touched);
        }
        Ok(())
    }

    /// An expression over the columns of a relation.
    fn expression_on(
        &self,
        relation: &'a Relation,
        expression: &str,
        all: &mut Kept,
    ) -> Resolved<()> {
        let text = format!("SELECT {expression}");
        let tree = parse::parse(&text).map_err(|_message| Unknown::ParseError)?;
        for raw in tree.statements() {
            let mut resolver = self.resolver(relation);
            resolver.statement(raw.stmt())?;
            all.append(resolver.touched);
        }
        Ok(())
    }

    fn condition_of_trigger(&self, definition: &str, all: &mut Kept) -> Resolved<()> {
        let tree = parse::parse(definition).map_err(|_message| Unknown::ParseError)?;
        for raw in tree.statements() {
            let Node::CreateTrigStmt(trigger) = raw.stmt() else {
                return Err(Unknown::UnknownStatement);
            };
            let mut resolver = Resolver::new(self.catalog, self.path(), self.left);
            resolver.calls_in(trigger.when_clause())?;
            all.calls.extend(resolver.touched.calls.sorted().iter().map(Call::kept));
        }
        Ok(())
    }

    /// Names are those of the relation's columns, also behind `old` and `new`.
    fn resolver(&self, relation: &'a Relation) -> Resolver<'_> {
        let item = |name: &'static str, visible: bool| Item {
            name: Some(name),
            columns: columns_of(relation, Few::None),
            bare: false,
            visible,
            rows: Few::One(relation),
            reference: None,
            carries: Few::None,
        };
        let named = Item { name: Some(&relation.name), ..item("", true) };
        let items = vec![named, item("old", false), item("new", false)];
        let around = Rc::new(Namespace { items, outer: None });
        Resolver::new(self.catalog, self.path(), self.left).surrounded(around)
    }
}

impl<'a> Resolver<'a> {
    /// The actions of a rule run one after the other; its condition decides whether.
    fn rule(&mut self, rule: &'a nodes::RuleStmt) -> Resolved<()> {
        let around = self.around.clone().unwrap_or_default();
        self.expression(rule.where_clause(), &around, 0, ColumnRole::Filter)?;
        for action in rule.actions() {
            self.statement(action)?;
        }
        Ok(())
    }
}
