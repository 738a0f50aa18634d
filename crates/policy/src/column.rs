//! Column lists: which columns of which relations an agent may use.
//!
//! What is *not* here: which columns exist; a pattern that fits no column is as good as none.

use model::{Access, ColumnRole, ColumnUse, Fact, RelationName, RelationUse, SqlFacts};

use crate::agent::Agent;
use crate::evaluate::{Reasons, named, unknown};
use crate::table::{TablePattern, TableSet};
use crate::{Reason, ReasonCode};

/// A column pattern: a name in which `*` stands for any letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnPattern(String);

impl ColumnPattern {
    /// Reads an entry; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let name = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None if text.contains(|c: char| c.is_whitespace() || "\"'.,;()[]".contains(c)) => {
                return Err("expected a column's name, in which `*` stands for any letters");
            }
            None => text.to_ascii_lowercase(),
        };
        if name.is_empty() { Err("a name is empty") } else { Ok(Self(name)) }
    }

    /// Whether it is `*`.
    pub(crate) fn is_any(&self) -> bool {
        self.0 == "*"
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut pieces: Vec<&str> = pieces.collect();
        let Some(last) = pieces.pop() else { return rest.is_empty() };
        for piece in pieces {
            let Some((_, tail)) = rest.split_once(piece) else { return false };
            rest = tail;
        }
        rest.ends_with(last)
    }
}

/// What counts as a use of a denied column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Wherever it can influence the result.
    #[default]
    Anywhere,
    /// Only where its values come out or are written.
    OutputOnly,
}

/// The lists for the relations of one pattern.
#[derive(Debug, Clone)]
pub(crate) struct ColumnRule {
    shown: String,
    relations: TableSet,
    allow: Option<Vec<ColumnPattern>>,
    deny: Vec<ColumnPattern>,
    /// These may be written and not read.
    write_only: Vec<ColumnPattern>,
    counts: Counts,
}

impl ColumnRule {
    pub(crate) fn new(
        relation: TablePattern,
        allow: Option<Vec<ColumnPattern>>,
        deny: Vec<ColumnPattern>,
        counts: Counts,
    ) -> Self {
        let relations = TableSet::new([relation]);
        let shown = relations.shown().join(", ");
        Self { shown, relations, allow, deny, write_only: Vec::new(), counts }
    }

    /// The same, with columns that may be written and not read.
    pub(crate) fn with_write_only(self, write_only: Vec<ColumnPattern>) -> Self {
        Self { write_only, ..self }
    }

    /// Whether it is about a relation; a name that may be the one it means counts.
    pub(crate) fn is_about(&self, relation: &RelationName) -> bool {
        self.relations.may_list(relation)
    }

    /// Whether it lets this use of a relation that it is about pass. What stands behind a view, a
    /// child or a parent is narrowed by denied columns alone: allowing a view allows what it reads.
    pub(crate) fn permits(&self, used: &ColumnUse) -> bool {
        let silent = matches!(used.role, ColumnRole::Filter | ColumnRole::Join | ColumnRole::Order);
        if silent && self.counts == Counts::OutputOnly {
            return true;
        }
        let allow = self.allow.as_ref().filter(|_| !used.reached);
        let reads = used.role != ColumnRole::Write;
        let Some(column) = &used.column else {
            // How many rows there are tells of what was written.
            let told = reads && self.write_only.iter().any(ColumnPattern::is_any);
            return !told && allow.is_none_or(|allow| !allow.is_empty());
        };
        let fits = |list: &[ColumnPattern]| list.iter().any(|pattern| pattern.is(column));
        allow.is_none_or(|allow| fits(allow))
            && !fits(&self.deny)
            && !(reads && fits(&self.write_only))
    }

    /// Whether every column may be used for everything.
    pub(crate) fn is_open(&self) -> bool {
        let all = |allow: &Vec<ColumnPattern>| allow.iter().any(ColumnPattern::is_any);
        self.deny.is_empty() && self.write_only.is_empty() && self.allow.as_ref().is_none_or(all)
    }

    /// In a line for people.
    pub(crate) fn shown(&self) -> String {
        let list = |list: &[ColumnPattern]| {
            let names: Vec<&str> = list.iter().map(|pattern| pattern.0.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let mut line = format!("columns of {}: ", self.shown);
        match &self.allow {
            Some(allow) => line.push_str(&list(allow)),
            None => line.push_str("all"),
        }
        if !self.deny.is_empty() {
            line.extend([" but not ", &list(&self.deny)]);
        }
        if !self.write_only.is_empty() {
            line.extend([", to be written alone: ", &list(&self.write_only)]);
        }
        if self.counts == Counts::OutputOnly {
            line.push_str(" (may filter and sort by them)");
        }
        line
    }

    /// The allowed columns, as they are listed.
    pub(crate) fn allowed(&self) -> Option<impl Iterator<Item = &str>> {
        self.allow.as_ref().map(|allow| allow.iter().map(|pattern| pattern.0.as_str()))
    }
}

/// Adds why columns that facts name or may reach are not the agent's.
pub(crate) fn judge(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    match &facts.columns {
        Fact::Known(all) => {
            // They are sorted: what is used of one relation is in a row.
            let of_one = |one: &ColumnUse, next: &ColumnUse| {
                one.relation == next.relation && one.schema == next.schema
            };
            for used in all.chunk_by(of_one) {
                columns_of_one(agent, used, facts, reasons);
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownColumns, facts)),
    }
    for used in facts.relations.known().into_iter().flatten().filter(|used| is_statistics(used)) {
        let reason = Reason::of(ReasonCode::ColumnNotAllowed).with_detail("*");
        let reason = reason.with_table(&used.relation.to_string());
        reasons.add(reason.with_operation(facts.operation));
    }
    if let Fact::Unknown(why) = &facts.calls {
        reasons.add(unknown(*why, ReasonCode::UnknownColumns, facts));
    }
    let defined = facts.relations.known().into_iter().flatten();
    for used in defined.filter(|used| used.access == Access::Define) {
        let narrows = |rule: &ColumnRule| rule.is_about(&used.relation) && !rule.is_open();
        if agent.columns.iter().any(narrows) {
            let reason = Reason::of(ReasonCode::ColumnNotAllowed);
            let reason = reason.with_detail("*").with_table(&used.relation.to_string());
            reasons.add(reason.with_operation(facts.operation));
        }
    }
}

/// Uses of columns of one relation.
fn columns_of_one(agent: &Agent, all: &[ColumnUse], facts: &SqlFacts, reasons: &mut Reasons) {
    let Some(first) = all.first() else { return };
    let relation = named(first.schema.clone(), first.relation.clone());
    for rule in agent.columns.iter().filter(|rule| rule.is_about(&relation)) {
        for used in all.iter().filter(|used| !rule.permits(used)) {
            let reason = Reason::of(ReasonCode::ColumnNotAllowed);
            let reason = reason.with_detail(used.column.as_deref().unwrap_or("*"));
            let reason = reason.with_table(&relation.to_string());
            reasons.add(reason.with_operation(facts.operation));
        }
    }
}

/// Statistics hold the commonest values of every column.
fn is_statistics(used: &RelationUse) -> bool {
    matches!(
        used.relation.name.as_str(),
        "pg_statistic"
            | "pg_stats"
            | "pg_statistic_ext_data"
            | "pg_stats_ext"
            | "pg_stats_ext_exprs"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(names: &[&str]) -> Vec<ColumnPattern> {
        names.iter().map(|name| ColumnPattern::parse(name).unwrap()).collect()
    }

    fn rule(allow: Option<&[&str]>, deny: &[&str], counts: Counts) -> ColumnRule {
        let relation = TablePattern::parse("public.users").unwrap();
        ColumnRule::new(relation, allow.map(patterns), patterns(deny), counts)
    }

    fn used(column: Option<&str>, role: ColumnRole, reached: bool) -> ColumnUse {
        ColumnUse {
            schema: "public".into(),
            relation: "users".into(),
            column: column.map(Into::into),
            role,
            reached,
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        let is = |pattern: &str, name: &str| ColumnPattern::parse(pattern).unwrap().is(name);
        assert!(is("ssn", "ssn") && !is("ssn", "ssn2") && !is("ssn", "xssn"));
        assert!(is("*", "a") && is("*", "") && is("a*", "abc") && is("*c", "abc"));
        assert!(is("a*c", "abc") && is("a*b*c", "axbyc") && !is("a*b*c", "acb"));
        assert!(is("SSN", "ssn") && !is("\"SSN\"", "ssn") && is("\"SSN\"", "SSN"));
        assert!(!is("ab*b", "ab"), "the same letter does not count twice");
    }

    #[test]
    fn an_allow_list_narrows_what_is_named_and_a_deny_list_also_what_is_reached() {
        let both = rule(Some(&["id", "s*"]), &["ssn"], Counts::Anywhere);
        assert!(both.permits(&used(Some("id"), ColumnRole::Output, false)));
        assert!(!both.permits(&used(Some("email"), ColumnRole::Filter, false)));
        assert!(both.permits(&used(Some("email"), ColumnRole::Filter, true)));
        assert!(!both.permits(&used(Some("ssn"), ColumnRole::Order, true)));
        assert!(both.permits(&used(None, ColumnRole::Output, false)));
        assert!(!rule(Some(&[]), &[], Counts::Anywhere).permits(&used(
            None,
            ColumnRole::Output,
            false
        )));
    }

    #[test]
    fn output_only_lets_a_column_filter_but_not_come_out() {
        let rule = rule(None, &["ssn"], Counts::OutputOnly);
        assert!(rule.permits(&used(Some("ssn"), ColumnRole::Filter, false)));
        assert!(!rule.permits(&used(Some("ssn"), ColumnRole::Output, false)));
        assert!(!rule.permits(&used(Some("ssn"), ColumnRole::Write, false)));
    }
}
