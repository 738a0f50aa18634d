//! Tenancy: every row that counts is the principal's tenant's; and the scopes of tables.
//!
//! What is here: which references are bound to the tenant, by their equalities. What is *not*
//! here: what implies an equality, which the facts say. Invariants: a reference that is not shown
//! to be bound counts as not; the tenant comes from the principal alone.

use model::{
    Equality, Fact, Operand, Principal, Reference, RelationName, RelationUse, Request, Rows,
    SettingChange, SettingUse, SettingValue, Shape, SqlFacts, Stage, TenantBound, TenantUse,
    Unknown,
};

use crate::catalog::is_driver_read;
use crate::evaluate::{Reasons, named, unknown};
use crate::policy::Policy;
use crate::table::TableSet;
use crate::{Decision, Reason, ReasonCode};

/// The tenant column, if the document names none.
pub(crate) const COLUMN: &str = "tenant_id";
/// The role that every scope is granted to, if the document names none.
pub(crate) const ADMIN_ROLE: &str = "admin";

/// What a document's `tenancy` comes to.
#[derive(Debug, Clone)]
pub(crate) struct Tenancy {
    /// Whether tenants are kept apart; a section may name scopes alone.
    pub(crate) isolates: bool,
    pub(crate) column: String,
    pub(crate) global: TableSet,
    /// Tables with the scope that each needs.
    pub(crate) scopes: Vec<(TableSet, String)>,
    pub(crate) admin_role: String,
    /// A setting that holds the tenant, in lower case.
    pub(crate) setting: Option<String>,
    /// Whether a missing condition is added.
    pub(crate) rewrites: bool,
}

impl Tenancy {
    /// Whether rows of a reference belong to no tenant.
    pub(crate) fn is_global(
        tenancy: Option<&Self>,
        reference: &Reference,
        principal: &Principal,
    ) -> bool {
        tenancy.is_some_and(|tenancy| {
            tenancy.global.lists(&reference.relation, principal.on_behalf_of.as_deref())
        })
    }

    /// Whether the principal has the role that holds every scope.
    pub(crate) fn is_admin(tenancy: Option<&Self>, principal: &Principal) -> bool {
        let role = tenancy.map_or(ADMIN_ROLE, |tenancy| tenancy.admin_role.as_str());
        principal.roles.iter().any(|one| one == role)
    }

    /// Whether the principal holds the scope of a table; of one that has none, nobody does.
    pub(crate) fn holds_scope(
        tenancy: Option<&Self>,
        relation: &RelationName,
        principal: &Principal,
    ) -> bool {
        let mut needed = tenancy.into_iter().flat_map(|one| one.needed(relation)).peekable();
        needed.peek().is_some() && needed.all(|scope| principal.scopes.contains(scope))
    }

    /// The scopes that a table which `relation` may stand for needs.
    fn needed<'t>(&'t self, relation: &'t RelationName) -> impl Iterator<Item = &'t String> {
        let about = self.scopes.iter().filter(|(tables, _)| tables.may_list(relation));
        about.map(|(_, scope)| scope)
    }

    /// The first scope that a principal lacks for a relation.
    pub(crate) fn missing<'t>(
        &'t self,
        relation: &'t RelationName,
        principal: &Principal,
    ) -> Option<&'t String> {
        if Self::is_admin(Some(self), principal) {
            return None;
        }
        self.needed(relation).find(|scope| !principal.scopes.contains(scope))
    }
}

/// Adds what the tenancy of `policy` forbids.
pub(crate) fn isolate(policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
    let Some(tenancy) = &policy.tenancy else { return };
    if request.stage != Stage::Startup {
        scopes(tenancy, request, reasons);
    }
    if !tenancy.isolates {
        return;
    }
    setting(tenancy, request, reasons);
    if request.stage == Stage::Startup {
        return;
    }
    if let Fact::Unknown(why) = &request.facts.relations {
        reasons.add(unknown(*why, ReasonCode::UnknownRelations, request.facts));
    }
    match (&request.facts.tenants, &request.facts.shape) {
        (Fact::Known(uses), _) => resolved(tenancy, uses, request, reasons),
        // Without a catalog every table is held to have the column, under the names of the text.
        (Fact::Unknown(Unknown::NoCatalog), Fact::Known(shape)) => {
            tenants(tenancy, shape, request, reasons);
        }
        (Fact::Unknown(Unknown::NoCatalog), Fact::Unknown(why)) => {
            reasons.add(unknown(*why, ReasonCode::UnknownShape, request.facts));
        }
        (Fact::Unknown(why), _) => {
            reasons.add(unknown(*why, ReasonCode::UnknownTenants, request.facts));
        }
    }
}

/// Uses of tables as a catalog resolves them.
fn resolved(tenancy: &Tenancy, uses: &[TenantUse], request: &Request<'_>, reasons: &mut Reasons) {
    let (facts, principal) = (request.facts, request.principal);
    let role = principal.on_behalf_of.as_deref();
    let scoped = uses.iter().filter_map(|used| {
        let relation = named(used.schema.as_str(), used.relation.as_str());
        (!tenancy.global.lists(&relation, role)).then_some((used, relation))
    });
    let mut scoped = scoped.peekable();
    if scoped.peek().is_none() {
        return;
    }
    let Some(tenant) = principal.tenant.as_deref().filter(|tenant| !tenant.is_empty()) else {
        reasons.add(Reason::of(ReasonCode::NoTenant).with_operation(facts.operation));
        return;
    };
    for (used, relation) in scoped {
        if !is_bound(tenancy, used, tenant, request.stage) {
            reasons.add(violation(tenancy, &relation.to_string(), used, facts));
        }
    }
}

fn is_bound(tenancy: &Tenancy, used: &TenantUse, tenant: &str, stage: Stage) -> bool {
    used.bounds.iter().any(|bound| match bound {
        TenantBound::Value(value) => used.kind.same(value, tenant),
        TenantBound::Parameter { .. } => stage == Stage::Parse,
        TenantBound::Setting(name) => tenancy.setting.as_ref() == Some(name),
    })
}

/// A duty that goes with a denial: with this condition on each use of a table, the statement may be judged
/// again.
#[derive(Debug)]
pub struct Constrain<'p> {
    tenancy: &'p Tenancy,
    tenant: String,
    role: Option<String>,
    stage: Stage,
}

impl<'p> Constrain<'p> {
    /// The duty of `decision`, if missing conditions are all that denies it.
    pub(crate) fn of(
        tenancy: Option<&'p Tenancy>,
        principal: &Principal,
        stage: Stage,
        decision: &Decision,
    ) -> Option<Self> {
        let tenancy = tenancy.filter(|one| one.rewrites)?;
        let tenants = |reason: &Reason| reason.code() == ReasonCode::TenantViolation;
        // The condition is a WHERE, too.
        let cured = |reason: &Reason| tenants(reason) || reason.code() == ReasonCode::MissingWhere;
        let reasons = decision.reasons();
        let curable =
            !decision.is_allowed() && reasons.iter().any(tenants) && reasons.iter().all(cured);
        let tenant = principal.tenant.clone().filter(|tenant| !tenant.is_empty())?;
        curable.then(|| Self { tenancy, tenant, role: principal.on_behalf_of.clone(), stage })
    }

    /// The tenant's column.
    pub fn column(&self) -> &str {
        &self.tenancy.column
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether a use of a table is bound already, or needs not be.
    pub fn holds(&self, used: &TenantUse) -> bool {
        let relation = named(used.schema.as_str(), used.relation.as_str());
        self.tenancy.global.lists(&relation, self.role.as_deref())
            || is_bound(self.tenancy, used, &self.tenant, self.stage)
    }
}

fn violation(tenancy: &Tenancy, table: &str, used: &TenantUse, facts: &SqlFacts) -> Reason {
    let column = tenancy.column.as_str();
    let parameter = used.bounds.iter().any(|bound| matches!(bound, TenantBound::Parameter { .. }));
    let hint = if !used.has_column {
        format!(
            "{table} is a view that does not show `{column}`: constrain what it reads, or list it \
             in `tenant_global_tables`"
        )
    } else if parameter {
        format!(
            "the parameter for `{column}` is another tenant, or has a type that cannot be told: use \
             it for `{column}` alone, as text, a whole number or a UUID"
        )
    } else {
        format!("restrict every use of {table} with `{column}` = the tenant of this connection")
    };
    let reason = Reason::of(ReasonCode::TenantViolation).with_table(table);
    reason.with_operation(facts.operation).with_hint(hint)
}

/// The setting that holds the tenant may only be set to it.
fn setting(tenancy: &Tenancy, request: &Request<'_>, reasons: &mut Reasons) {
    let Some(name) = &tenancy.setting else { return };
    let facts = request.facts;
    let settings = match &facts.settings {
        Fact::Known(settings) => settings,
        Fact::Unknown(why) => {
            reasons.add(unknown(*why, ReasonCode::UnknownSettings, facts));
            return;
        }
    };
    let tenant = request.principal.tenant.as_deref();
    let keeps = |one: &SettingUse| {
        let other = one.name != *name && one.name != "*";
        let reset = matches!(one.change, SettingChange::Reset | SettingChange::ResetAll);
        let own = one.name == *name
            && one.change != SettingChange::Stored
            && matches!(&one.value, SettingValue::Constants(values)
                if matches!(values.as_slice(), [value] if Some(value.as_str()) == tenant));
        other || reset || own || one.value == SettingValue::Default
    };
    for one in settings.iter().filter(|one| !keeps(one)) {
        let reason = Reason::of(ReasonCode::TenantViolation).with_detail(&one.name);
        let hint = format!("set `{name}` to the tenant of this connection, or leave it as it is");
        reasons.add(reason.with_operation(facts.operation).with_hint(hint));
    }
}

/// Tables that need a scope.
fn scopes(tenancy: &Tenancy, request: &Request<'_>, reasons: &mut Reasons) {
    let (facts, principal) = (request.facts, request.principal);
    if tenancy.scopes.is_empty() || Tenancy::is_admin(Some(tenancy), principal) {
        return;
    }
    let check = |relation: &RelationName, reasons: &mut Reasons| {
        if let Some(scope) = tenancy.missing(relation, principal) {
            let reason = Reason::of(ReasonCode::MissingScope).with_detail(scope);
            reasons.add(reason.with_table(&relation.to_string()).with_operation(facts.operation));
        }
    };
    match &facts.columns {
        Fact::Known(columns) => {
            for used in columns.iter().filter(|used| used.reached) {
                check(&named(used.schema.as_str(), used.relation.as_str()), reasons);
            }
        }
        // Without a catalog a table is its name, as the reference says.
        Fact::Unknown(Unknown::NoCatalog) => {}
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
    }
    match &facts.relations {
        Fact::Known(all) => all.iter().for_each(|used| check(&used.relation, reasons)),
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
    }
}

/// One statement under way.
struct Binding<'a> {
    tenancy: &'a Tenancy,
    shape: &'a Shape,
    tenant: &'a str,
    /// Parameters get their values later, and are judged with them.
    parameters_later: bool,
    /// References that belong to a tenant.
    scoped: Vec<bool>,
    /// Columns that are shown to be the tenant: (reference, column).
    bound: Vec<(u32, &'a str)>,
}

fn tenants(tenancy: &Tenancy, shape: &Shape, request: &Request<'_>, reasons: &mut Reasons) {
    let (facts, principal) = (request.facts, request.principal);
    let scoped: Vec<bool> = shape
        .references
        .iter()
        .map(|one| {
            let used = RelationUse { relation: one.relation.clone(), access: one.access };
            !is_driver_read(&used) && !Tenancy::is_global(Some(tenancy), one, principal)
        })
        .collect();
    if !scoped.contains(&true) {
        return;
    }
    let Some(tenant) = principal.tenant.as_deref().filter(|tenant| !tenant.is_empty()) else {
        reasons.add(Reason::of(ReasonCode::NoTenant).with_operation(facts.operation));
        return;
    };
    let parameters_later = request.stage == Stage::Parse;
    let mut binding =
        Binding { tenancy, shape, tenant, parameters_later, scoped, bound: Vec::new() };
    binding.settle();
    for (index, reference) in (0_u32..).zip(&shape.references) {
        if binding.is_scoped(index) && !binding.holds(index, reference) {
            let table = reference.relation.to_string();
            let hint = format!(
                "restrict every use of {table} with `{}` = the tenant of this connection; tables \
                 without that column are listed in `tenant_global_tables`",
                tenancy.column
            );
            let reason = Reason::of(ReasonCode::TenantViolation).with_table(&table);
            reasons.add(reason.with_operation(facts.operation).with_hint(hint));
        }
    }
}

impl<'a> Binding<'a> {
    fn is_scoped(&self, index: u32) -> bool {
        usize::try_from(index).ok().and_then(|at| self.scoped.get(at)).copied().unwrap_or(true)
    }

    /// The one reference that a column is of. Every table that belongs to a tenant has the tenant
    /// column; among tables without one, a bare name is that of the only other.
    fn owner(&self, of: &[u32], column: &str) -> Option<u32> {
        if let [only] = of {
            return Some(*only);
        }
        if column != self.tenancy.column {
            return None;
        }
        let mut scoped = of.iter().filter(|index| self.is_scoped(**index));
        match (scoped.next(), scoped.next()) {
            (Some(only), None) => Some(*only),
            (None | Some(_), _) => None,
        }
    }

    /// Follows equalities until nothing more is shown.
    fn settle(&mut self) {
        let equalities: Vec<(u32, &'a Equality)> = self
            .shape
            .equalities
            .iter()
            .filter_map(|one| self.owner(&one.of, &one.column).map(|owner| (owner, one)))
            .collect();
        loop {
            let before = self.bound.len();
            for (owner, one) in &equalities {
                let known = self.bound.contains(&(*owner, one.column.as_str()));
                if !known && self.is_tenant(&one.to) {
                    self.bound.push((*owner, &one.column));
                }
            }
            if self.bound.len() == before {
                return;
            }
        }
    }

    fn is_tenant(&self, operand: &Operand) -> bool {
        match operand {
            Operand::Constant(text) => text == self.tenant,
            Operand::Parameter(_) => self.parameters_later,
            Operand::Setting(name) => self.tenancy.setting.as_ref() == Some(name),
            Operand::Column(of, column) => self
                .owner(of, column)
                .is_some_and(|owner| self.bound.contains(&(owner, column.as_str()))),
        }
    }

    /// Whether rows of a reference are the tenant's, before and after the statement.
    fn holds(&self, index: u32, reference: &Reference) -> bool {
        let column = self.tenancy.column.as_str();
        let assigned = |(name, value): &(String, Option<Operand>)| {
            let other = name != column && name != "*";
            other || value.as_ref().is_some_and(|value| self.is_tenant(value))
        };
        let stays = reference.assigned.iter().all(assigned);
        let filtered = self.bound.contains(&(index, column));
        let inserted = reference.rows == Rows::New
            && reference.assigned.iter().any(|(name, _)| name == column);
        stays && (filtered || inserted)
    }
}
