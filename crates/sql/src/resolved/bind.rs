//! From a resolution to facts: OIDs to names, calls to functions, every possible search path.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use model::{
    Access, CallUse, ColumnRole, ColumnUse, Fact, Name, RelationName, RelationUse, Schemas,
    SettingChange, SettingUse, SettingValue, SqlFacts, TenantUse, Unknown, Volatility,
};

use super::bodies::{self, Run};
use super::certain::Certainty;
use super::conversions::Types;
use super::found::{Called, Seen, sort};
use super::pin::pin_relations;
use super::reach::{Behind, Events, of_definitions};
use super::tenancy::shows;
use super::{Call, Part, Reach, Resolved, Resolver, SYSTEM_COLUMNS, Touched, Use, find, schemas};
use crate::catalog::{self, Catalog, Function, Oid, Relation, TEMPORARY, TypeKind};
use crate::context::{BareNames, Context, Known, SearchPaths};
use crate::few::Bag;
use crate::limits;
use crate::parse::{self, Node};

/// Completes `facts` of the statement `root`, which also runs `texts`, with what the catalog says, or
/// what every PostgreSQL of the version has.
pub(crate) fn complete(
    facts: &mut SqlFacts,
    root: Node<'_>,
    texts: &[String],
    context: &Context<'_>,
    left: &Cell<usize>,
) {
    let runs = complete_with(facts, (root, texts), context, (None, left));
    if let Known::Catalog(catalog) = context.catalog {
        facts.bodies = bodies::of(&runs, catalog, context, left);
    }
}

/// Where a statement of a body stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct InBody<'a> {
    pub(super) function: &'a Function,
    /// The search path that what it calls runs under.
    pub(super) in_force: &'a [String],
}

/// The same for a statement of a body; what that calls in turn.
pub(super) fn complete_body(
    facts: &mut SqlFacts,
    statement: (Node<'_>, &[String]),
    context: &Context<'_>,
    (body, left): (InBody<'_>, &Cell<usize>),
) -> BTreeSet<Run> {
    complete_with(facts, statement, context, (Some(body), left))
}

fn complete_with(
    facts: &mut SqlFacts,
    (root, texts): (Node<'_>, &[String]),
    context: &Context<'_>,
    (body, left): (Option<InBody<'_>>, &Cell<usize>),
) -> BTreeSet<Run> {
    // A bound was reached: what is denied for that is looked at no further.
    let too_complex = facts.first_unknown() == Some(Unknown::TooComplex);
    let found = match context.catalog {
        Known::Nothing => return BTreeSet::new(),
        Known::BuiltIn(_) | Known::Stale | Known::Catalog(_) if too_complex => {
            Found::unknown(Unknown::TooComplex)
        }
        Known::BuiltIn(bare) => match context.server_major.and_then(catalog::built_in) {
            Some(built_in) => without_catalog(facts, root, texts, context, (built_in, bare, left)),
            None => return BTreeSet::new(),
        },
        Known::Stale => Found::unknown(Unknown::StaleCatalog),
        Known::Catalog(catalog) => match context.search_paths {
            SearchPaths::Unknown => Found::unknown(Unknown::NotConstant),
            SearchPaths::Possible(paths) => {
                pin_relations(facts, catalog, paths);
                let bound = Bound {
                    body_of: body.map(|body| body.function),
                    in_force: body.map(|body| Cow::Owned(vec![body.in_force.to_vec()])),
                    ..Bound::new(catalog, left, context)
                };
                bound
                    .all(root, texts, paths, facts.relations.known().map(Vec::as_slice))
                    .unwrap_or_else(Found::unknown)
            }
        },
    };
    if let Fact::Known(columns) = &found.columns {
        name_all(facts, columns);
    }
    if found.settings {
        let (name, change) = ("*".to_owned(), SettingChange::Session);
        let any = SettingUse { name, change, value: SettingValue::Unknown };
        facts.settings.absorb(&Fact::Known(vec![any]));
    }
    facts.columns = found.columns;
    facts.calls = found.calls;
    if context.tenant_column.is_some() || found.tenants.is_unknown() {
        facts.tenants = found.tenants;
    }
    found.runs
}

/// What can be said without a catalog. What cannot is unknown because there is none, whatever kept
/// it from being found.
fn without_catalog(
    facts: &SqlFacts,
    root: Node<'_>,
    texts: &[String],
    context: &Context<'_>,
    (built_in, bare, left): (&Catalog, BareNames, &Cell<usize>),
) -> Found {
    // On a path that is not known any schema may come before `pg_catalog`.
    let anything = [vec![String::new(), "pg_catalog".to_owned()]];
    let paths = match context.search_paths {
        SearchPaths::Possible(paths) => paths,
        SearchPaths::Unknown => &anything,
    };
    let bound = Bound { open: Some(bare), ..Bound::new(built_in, left, context) };
    let relations = facts.relations.known().map(Vec::as_slice);
    let mut found = bound
        .all(root, texts, paths, relations)
        .unwrap_or_else(|_why| Found::unknown(Unknown::NoCatalog));
    // A definition may call what it defines, or have it called, without a word.
    if facts.may_define() {
        found.calls = Fact::Unknown(Unknown::NoCatalog);
    }
    found
}

/// What was found.
struct Found {
    columns: Fact<Vec<ColumnUse>>,
    calls: Fact<Vec<CallUse>>,
    tenants: Fact<Vec<TenantUse>>,
    runs: BTreeSet<Run>,
    /// It may change any setting.
    settings: bool,
}

impl Found {
    const fn unknown(why: Unknown) -> Self {
        Self {
            columns: Fact::Unknown(why),
            calls: Fact::Unknown(why),
            tenants: Fact::Unknown(why),
            runs: BTreeSet::new(),
            settings: false,
        }
    }
}

/// What a view reads with the rights of who asks counts as named.
fn name_all(facts: &mut SqlFacts, columns: &[ColumnUse]) {
    let Fact::Known(relations) = &mut facts.relations else { return };
    let before = relations.len();
    let mut last = None;
    for used in columns.iter().filter(|used| !used.reached) {
        // They are sorted.
        let name = Some((&used.schema, &used.relation));
        if name == last {
            continue;
        }
        last = name;
        let named = |known: &RelationUse| {
            known.relation.name == used.relation
                && matches!(&known.relation.schemas, Schemas::Named(schema) if *schema == used.schema)
        };
        if !relations.iter().any(named) {
            let schemas = Schemas::Named(used.schema.clone());
            let relation = RelationName { schemas, name: used.relation.clone() };
            relations.push(RelationUse { relation, access: Access::Read });
        }
    }
    if relations.len() != before {
        relations.sort_unstable();
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "three doubts that are independent of each other"
)]
pub(super) struct Bound<'a> {
    pub(super) catalog: &'a Catalog,
    left: &'a Cell<usize>,
    server_major: Option<u16>,
    /// Only what is built in is known, and bare names are taken so.
    open: Option<BareNames>,
    /// A relation was named that is not built in.
    unseen: bool,
    /// A call may be of something that is not built in.
    unsure: bool,
    uses: Bag<Use>,
    events: Events,
    changed: BTreeSet<(Oid, i16)>,
    seen: Bag<Oid>,
    calls: Bag<Called<'a>>,
    tenant: Option<&'a str>,
    tenants: BTreeSet<TenantUse>,
    doubts: BTreeSet<String>,
    /// The function whose body this is.
    body_of: Option<&'a Function>,
    runs: BTreeSet<Run>,
    /// The search paths that functions run under, where names are not looked up by them.
    in_force: Option<Cow<'a, [Vec<String>]>>,
    /// Whether calls are those of a view, or of what is attached to a relation.
    behind: bool,
    /// Whether they are of what is attached to a relation. What is built in does not count there: a policy that
    /// asks for a setting, or a default that asks for the time, hands out nothing.
    besides: bool,
    /// Whether allowing a table allows what its triggers, rules and policies do. A default or a check runs with the
    /// rights of who writes, and nothing else.
    lends: bool,
    /// The relation whose triggers call.
    fires: Option<Oid>,
    /// The types that values may be converted from and to.
    pub(super) types: Types,
}

impl<'a> Bound<'a> {
    fn new(catalog: &'a Catalog, left: &'a Cell<usize>, context: &Context<'a>) -> Self {
        Self {
            catalog,
            left,
            server_major: context.server_major,
            open: None,
            unseen: false,
            unsure: false,
            uses: Bag::default(),
            events: Events::new(),
            changed: BTreeSet::new(),
            seen: Bag::default(),
            calls: Bag::default(),
            tenant: context.tenant_column,
            tenants: BTreeSet::new(),
            doubts: BTreeSet::new(),
            body_of: None,
            runs: BTreeSet::new(),
            in_force: None,
            behind: false,
            besides: false,
            lends: true,
            fires: None,
            types: Types::NONE,
        }
    }

    /// Everything under every search path that may be in force, and under those that are left of them
    /// if the role may not use a schema that decides.
    fn all(
        mut self,
        root: Node<'_>,
        texts: &[String],
        paths: &'a [Vec<String>],
        relations: Option<&[RelationUse]>,
    ) -> Resolved<Found> {
        // What is left of those that are given.
        let mut more: Vec<Vec<String>> = Vec::new();
        for path in paths {
            self.path(root, texts, path, relations)?;
            self.without_doubted(path, paths, &mut more)?;
        }
        let mut done = 0;
        while let Some(path) = more.get(done).cloned() {
            done += 1;
            self.path(root, texts, &path, relations)?;
            self.without_doubted(&path, paths, &mut more)?;
        }
        self.in_force.get_or_insert_with(|| {
            if more.is_empty() {
                return Cow::Borrowed(paths);
            }
            paths.iter().cloned().chain(more).collect()
        });
        self.finish()
    }

    /// Adds what is left of a path if the role may not use a schema that decided.
    fn without_doubted(
        &mut self,
        path: &[String],
        given: &[Vec<String>],
        more: &mut Vec<Vec<String>>,
    ) -> Resolved<()> {
        for doubted in std::mem::take(&mut self.doubts) {
            let mut without = path.to_vec();
            without.retain(|schema| *schema != doubted);
            if !given.contains(&without) && !more.contains(&without) {
                more.push(without);
            }
        }
        if given.len() + more.len() > limits::MAX_PATHS.max(given.len()) {
            return Err(Unknown::TooComplex);
        }
        Ok(())
    }

    /// Everything under one search path.
    fn path(
        &mut self,
        root: Node<'_>,
        texts: &[String],
        path: &[String],
        relations: Option<&[RelationUse]>,
    ) -> Resolved<()> {
        self.resolve(root, path)?;
        for text in texts {
            let tree = parse::parse(text).map_err(|_message| Unknown::ParseError)?;
            for raw in tree.statements() {
                self.resolve(raw.stmt(), path)?;
            }
        }
        self.named_otherwise(relations.unwrap_or_default(), path)
    }

    fn resolve(&mut self, root: Node<'_>, path: &[String]) -> Resolved<()> {
        let mut resolver = Resolver::new(self.catalog, path, self.left)
            .with_tenant(self.tenant)
            .with_server(self.server_major, self.open)
            .within(self.body_of);
        resolver.statement(root)?;
        self.tenants.extend(resolver.tenants(root)?);
        self.seen.append(resolver.seen.take());
        self.doubts.append(&mut resolver.doubts.take());
        self.unseen |= resolver.unseen.get();
        let touched = resolver.touched;
        self.take(touched, path)
    }

    /// What is certain under a path, where only what is built in is known.
    fn certainty<'p>(&self, path: &'p [String]) -> Option<Certainty<'p>>
    where
        'a: 'p,
    {
        self.open.map(|bare| Certainty { catalog: self.catalog, bare, path })
    }

    fn take(&mut self, mut touched: Touched<'_>, path: &[String]) -> Resolved<()> {
        self.uses.append(touched.uses);
        self.events.append(&mut touched.events);
        self.changed.append(&mut touched.changed);
        for call in touched.calls.sorted() {
            self.call(*call, path)?;
        }
        Ok(())
    }

    /// The relation of a name that only a text may have, and the schema that is doubted if it is that one.
    fn named<'p>(
        &mut self,
        written: &RelationName,
        path: &'p [String],
    ) -> Resolved<Option<&'p Relation>>
    where
        'a: 'p,
    {
        let schema = match &written.schemas {
            Schemas::Named(schema) => Some(schema.as_str()),
            Schemas::Paths(_) => None,
            Schemas::Unknown => return Ok(None),
        };
        if let Some(open) = self.open {
            let certainty = Certainty { catalog: self.catalog, bare: open, path };
            return Ok(certainty.relation((schema, &written.name)));
        }
        let (found, doubted) = find(self.catalog, path, schema, &written.name)?;
        if doubted && let Some(found) = found {
            self.doubts.insert(found.schema.clone().into());
        }
        Ok(found)
    }

    /// A relation that only a text names (`'users'::regclass`, `table_to_xml`) counts whole.
    fn named_otherwise(&mut self, relations: &[RelationUse], path: &[String]) -> Resolved<()> {
        for used in relations {
            let found = self.named(&used.relation, path)?;
            let Some(relation) = found else {
                if self.open.is_some() {
                    self.unseen = true;
                    continue;
                }
                match used.access {
                    // What it makes does not exist yet.
                    Access::Define => continue,
                    Access::Read | Access::Write => return Err(Unknown::NotInCatalog),
                }
            };
            if self.seen.sorted().binary_search(&relation.oid).is_ok() {
                continue;
            }
            if let Some(tenant) = self.tenant
                && *relation.schema != *TEMPORARY
                && relation.columns.iter().any(|column| *column.name == *tenant)
            {
                self.tenants.insert(TenantUse {
                    schema: relation.schema.clone().into(),
                    relation: relation.name.clone().into(),
                    access: used.access,
                    has_column: true,
                    kind: model::TenantType::Other,
                    bounds: Vec::new(),
                });
            }
            let role = match used.access {
                Access::Read => ColumnRole::Output,
                Access::Write | Access::Define => ColumnRole::Write,
            };
            let columns = relation.columns.iter().map(|column| Part::Column(column.number));
            for part in columns.chain([Part::Any]) {
                self.uses.add(Use { relation: relation.oid, part, role });
            }
        }
        Ok(())
    }

    fn call(&mut self, call: Call<&str>, path: &[String]) -> Resolved<()> {
        match call {
            Call::Function(schema, name, count) => self.function((schema, name), count, path),
            Call::Operator(schema, name) => self.operator((schema, name), path),
            Call::Grammar(_) if self.besides => Ok(()),
            Call::Grammar(name) => {
                self.calls.add(Called {
                    schema: Cow::Owned("pg_catalog".into()),
                    name: Cow::Owned(name.into()),
                    reached: self.behind,
                    volatility: Volatility::Stable,
                });
                Ok(())
            }
            Call::Cast(schema, name) => self.cast((schema, name), path),
            Call::Attribute(name) => self.attribute(name, path),
            Call::Older(name) => self.older(name, path),
            Call::Conversion => {
                self.unsure |= self.certainty(path).is_some_and(|certain| !certain.conversion());
                Ok(())
            }
        }
    }

    /// `t.f`: every function of that name that may take a row.
    fn attribute(&mut self, name: &str, path: &[String]) -> Resolved<()> {
        let Some(certainty) = self.certainty(path) else {
            return self.function((None, name), 1, path);
        };
        self.unsure |= !certainty.attribute();
        let catalog = self.catalog;
        for function in catalog.functions("pg_catalog", name) {
            if certainty.takes_a_row(&function.arguments, function.defaults) {
                self.calls(function, path);
            }
        }
        Ok(())
    }

    /// Every function that an older server may read a form as, whatever its arguments.
    fn older(&mut self, name: &str, path: &[String]) -> Resolved<()> {
        let catalog = self.catalog;
        for schema in callable(None, path) {
            for function in catalog.functions(schema, name) {
                self.calls(function, path);
            }
        }
        match self.certainty(path) {
            Some(certainty) => {
                self.unsure |= !certainty.function((None, name), usize::MAX);
                Ok(())
            }
            // `json(x)` may be a cast in the form of a call.
            None => self.cast((None, name), path),
        }
    }

    /// Every overload that may be meant: those that take so many arguments, else all.
    fn function(
        &mut self,
        (schema, name): (Option<&str>, &str),
        count: usize,
        path: &[String],
    ) -> Resolved<()> {
        let catalog = self.catalog;
        if let Some(certainty) = self.certainty(path) {
            if certainty.function((schema, name), count) {
                let own = schema.unwrap_or("pg_catalog");
                self.fitting(catalog.functions_named(name).in_schema(own), count, path);
            } else {
                self.unsure = true;
            }
            return Ok(());
        }
        let schemas = callable(schema, path);
        let named = catalog.functions_named(name);
        let all = schemas.clone().flat_map(|schema| named.in_schema(schema));
        let none = all.clone().next().is_none();
        let mut types = schemas.filter_map(|schema| catalog.type_named(schema, name));
        if !none && count == 1 && catalog.has_own_conversions() {
            // With functions of that name it is one to a domain where none of them fits.
            if types.any(|one| matches!(one.kind, TypeKind::Domain(_))) {
                self.cast((schema, name), path)?;
            }
        } else if none {
            let is_type = types.next().is_some();
            // `f(x)` with one argument is also PostgreSQL for `x.f` and for a cast.
            if is_type {
                self.cast((schema, name), path)?;
            } else if count != 1 || schema.is_some() {
                return Err(Unknown::NotInCatalog);
            }
            return Ok(());
        }
        self.fitting(all, count, path);
        Ok(())
    }

    /// Of these functions, those that take so many arguments, else all.
    fn fitting(
        &mut self,
        all: impl Iterator<Item = &'a Function> + Clone,
        count: usize,
        path: &[String],
    ) {
        let fits = |function: &&Function| {
            let most = function.arguments.len();
            let least = most.saturating_sub(usize::from(function.defaults));
            function.variadic || (least..=most).contains(&count)
        };
        let any = !all.clone().any(|function| fits(&function));
        for function in all.filter(|function| any || fits(function)) {
            self.calls(function, path);
        }
    }

    fn operator(&mut self, (schema, name): (Option<&str>, &str), path: &[String]) -> Resolved<()> {
        for name in operators(name) {
            if let Some(certainty) = self.certainty(path) {
                self.unsure |= !certainty.operator((schema, name));
                continue;
            }
            let mut found = false;
            for schema in callable(schema, path) {
                if schema == "pg_catalog" && self.catalog.is_pure_operator(name) {
                    found |= self.catalog.operators(schema, name).next().is_some();
                    continue;
                }
                for operator in self.catalog.operators(schema, name) {
                    found = true;
                    self.hidden(operator.function, &operator.schema, path)?;
                }
            }
            // `!=` is `<>` by the grammar; anything else unknown is an error of the server.
            if !found {
                return Err(Unknown::NotInCatalog);
            }
        }
        Ok(())
    }

    /// Casting to a type may call its functions, and those of casts to it: of every type that the
    /// name may mean.
    fn cast(&mut self, (schema, name): (Option<&str>, &str), path: &[String]) -> Resolved<()> {
        let catalog = self.catalog;
        if let Some(certainty) = self.certainty(path) {
            // All that a built-in type's values pass through is built in.
            self.unsure |= certainty.type_named((schema, name)).is_none();
            return Ok(());
        }
        for schema in schemas(schema, path) {
            if schema == TEMPORARY && catalog.hides_temporary() {
                return Err(Unknown::StaleCatalog);
            }
            let Some(target) = catalog.type_named(schema, name) else { continue };
            self.types.written(catalog, target.oid);
            let casts = catalog.casts_to(target.oid).map(|cast| cast.function);
            for function in casts.chain(target.functions.iter().copied()) {
                self.hidden(function, &target.schema, path)?;
            }
            if catalog.is_open(schema) {
                break;
            }
        }
        Ok(())
    }

    /// A function that no text names counts unless it is built in, and so is what it is `behind`. One that the
    /// catalog does not have is somebody's temporary one.
    pub(super) fn hidden(&mut self, oid: Oid, behind: &str, path: &[String]) -> Resolved<()> {
        if oid == 0 {
            return Ok(());
        }
        let function = self.catalog.function_by_oid(oid).ok_or(Unknown::NotInCatalog)?;
        if &*function.schema != "pg_catalog" || behind != "pg_catalog" {
            self.calls(function, path);
        }
        Ok(())
    }

    fn calls(&mut self, function: &'a Function, path: &[String]) {
        if self.besides && function.is_built_in() {
            return;
        }
        self.types.passed(self.catalog, function);
        let catalog = self.catalog;
        for part in function.calls.iter().filter_map(|oid| catalog.function_by_oid(*oid)) {
            // Whoever allows an aggregate allows what it is made of; what is denied, or reaches past the policy, is not.
            let harmless = !part.is_built_in() || part.volatility == catalog::Volatility::Immutable;
            self.called(part, self.behind || harmless);
        }
        if bodies::is_of_interest(function) {
            // A view lends its owner's rights to the relations that it names, never to what a
            // function does: that runs with the rights of who asks, or of the function's owner.
            let lent = (self.besides && self.lends) || function.security_definer;
            let (function, reached) = (function.oid, self.behind && lent);
            let here = [path.to_vec()];
            let in_force = self.in_force.as_deref().unwrap_or(&here);
            let fired_by = self.fires;
            let run = |path: &Vec<String>| Run { function, path: path.clone(), reached, fired_by };
            self.runs.extend(in_force.iter().map(run));
        }
        self.called(function, self.behind);
    }

    fn called(&mut self, function: &'a Function, reached: bool) {
        let volatility = match function.volatility {
            catalog::Volatility::Immutable => Volatility::Immutable,
            catalog::Volatility::Stable => Volatility::Stable,
            catalog::Volatility::Volatile => Volatility::Volatile,
        };
        let (schema, name) = (Cow::Borrowed(&function.schema), Cow::Borrowed(&function.name));
        self.calls.add(Called { schema, name, reached, volatility });
    }

    fn finish(mut self) -> Resolved<Found> {
        let uses = std::mem::take(&mut self.uses).into_sorted();
        let behind =
            Reach::new(self.catalog, self.left).behind(&uses, (&self.events, &self.changed))?;
        self.forget_harmless_views(&behind.as_named, &behind.reached);
        if self.catalog.has_own_conversions() {
            let direct: Vec<Use> = uses.iter().chain(&behind.as_named).copied().collect();
            self.conversions(&direct)?;
        }
        if !behind.is_silent() {
            self.behind(&behind)?;
        }
        if self.catalog.has_own_conversions() {
            let reached: Vec<Use> = behind.reached.iter().copied().collect();
            self.conversions(&reached)?;
        }
        let mut columns = Vec::with_capacity(uses.len());
        let named = uses.iter().chain(&behind.as_named).map(|used| (used, false));
        for (used, reached) in named.chain(behind.reached.iter().map(|used| (used, true))) {
            let before = columns.last().map(|last: &Seen<'a>| last.relation);
            columns.push(self.column(*used, reached, before)?);
        }
        sort(&mut columns);
        columns.dedup_by(|next, kept| kept.compared(next) == Ordering::Equal);
        let mut calls = self.calls.into_sorted();
        // Of one function's overloads the laxest counts; they are sorted by name, then volatility.
        calls.reverse();
        calls.dedup_by(|next, kept| {
            next.reached == kept.reached && next.name == kept.name && next.schema == kept.schema
        });
        let known = |is_known: bool| if is_known { Ok(()) } else { Err(Unknown::NoCatalog) };
        let columns = || columns.into_iter().map(Seen::fact).collect();
        let calls = || calls.into_iter().rev().map(Called::fact).collect();
        Ok(Found {
            columns: fact(known(!self.unseen).map(|()| columns())),
            calls: fact(known(!self.unsure).map(|()| calls())),
            tenants: fact(known(!self.unseen).map(|()| self.tenants.into_iter().collect())),
            runs: self.runs,
            settings: behind.settings,
        })
    }

    /// What views call, and what is attached to relations.
    fn behind(&mut self, behind: &Behind) -> Resolved<()> {
        self.behind = true;
        let (path, unsure) = (of_definitions(), self.unsure);
        for call in &behind.calls {
            self.call(call.written(), &path)?;
        }
        self.besides = true;
        for call in &behind.besides {
            self.call(call.written(), &path)?;
        }
        self.lends = false;
        for call in &behind.expressions {
            self.call(call.written(), &path)?;
        }
        self.lends = true;
        for (function, relation) in &behind.fired {
            let function = self.catalog.function_by_oid(*function).ok_or(Unknown::NotInCatalog)?;
            self.fires = Some(*relation);
            self.calls(function, &path);
        }
        (self.besides, self.fires) = (false, None);
        // What is built in calls nothing else.
        self.unsure = unsure;
        Ok(())
    }

    /// A view without the tenant's column hides nothing if nothing behind any view has it.
    fn forget_harmless_views(&mut self, named: &BTreeSet<Use>, reached: &BTreeSet<Use>) {
        let Some(tenant) = self.tenant else { return };
        let scoped = |used: &Use| {
            let relation = self.catalog.relation_by_oid(used.relation);
            relation.is_some_and(|one| shows(one, tenant))
        };
        if !named.iter().chain(reached).any(scoped) {
            self.tenants.retain(|used| used.has_column);
        }
    }

    /// The column of a use; `before` is the relation of the use before it.
    fn column(&self, used: Use, reached: bool, before: Option<&'a Relation>) -> Resolved<Seen<'a>> {
        let relation = match before {
            Some(before) if before.oid == used.relation => before,
            Some(_) | None => {
                self.catalog.relation_by_oid(used.relation).ok_or(Unknown::NotInCatalog)?
            }
        };
        let column = match used.part {
            Part::Any => None,
            Part::Column(number) => {
                let stored = relation.column(number).map(|column| Cow::Borrowed(&column.name));
                let system = || SYSTEM_COLUMNS.iter().find(|(_, system)| *system == number);
                let name =
                    stored.or_else(|| system().map(|(name, _)| Cow::Owned(Name::from(*name))));
                Some(name.ok_or(Unknown::NotInCatalog)?)
            }
        };
        Ok(Seen { relation, column, role: used.role, reached })
    }
}

/// The operators that a written one stands for.
pub(super) fn operators(name: &str) -> impl Iterator<Item = &str> {
    const ORDERED: &[&str] = &["<", "<=", ">", ">="];
    let several =
        matches!(name, "BETWEEN" | "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC");
    let one = (!several).then_some(name);
    ORDERED.iter().copied().filter(move |_| several).chain(one)
}

fn fact<T>(found: Resolved<T>) -> Fact<T> {
    found.map_or_else(Fact::Unknown, Fact::Known)
}

/// Where a function or an operator is looked up: never among temporary ones, unless the statement
/// says so (PostgreSQL documentation, "The Schema Search Path").
pub(super) fn callable<'p>(
    schema: Option<&'p str>,
    path: &'p [String],
) -> impl Iterator<Item = &'p str> + Clone + use<'p> {
    schemas(schema, path).filter(move |one| schema.is_some() || *one != TEMPORARY)
}
