//! What a call means beyond its name: calls that run SQL text, that name relations in text, that
//! change settings.
//!
//! Invariant: where such a call's deciding argument is not a constant, the facts it would decide
//! are unknown. The schema before a name is ignored: a namesake elsewhere is treated alike.

use model::{Access, FunctionUse, RelationUse, SettingChange, SettingUse, SettingValue, Unknown};

use crate::analysis::{Effect, NameKind, NameRef, NewSearchPath};
use crate::literal::{self, Literal};
use crate::newer::{self, Older};
use crate::options::parse_search_path;
use crate::parse::{ConstValue, Node, nodes};
use crate::resolve::Qualified;
use crate::settings;
use crate::walk::{self, Walk};

/// An argument, by position or by name.
#[derive(Debug, Clone, Copy)]
struct Slot {
    index: usize,
    name: &'static str,
}

const fn slot(index: usize, name: &'static str) -> Slot {
    Slot { index, name }
}

/// What a call does beyond what its name says.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Plain,
    /// Runs the SQL text of one argument.
    Runs(Slot),
    /// Runs its second argument if it has exactly two.
    Rewrites,
    /// Runs every text argument.
    RunsTexts,
    /// Runs text in another session.
    Remote,
    /// Builds SQL from several texts.
    Builds,
    /// Opens the relation that an argument names.
    Opens(Slot, Access),
    /// Describes the relation that an argument names.
    Describes(Slot),
    /// `has_…_privilege`: the relation stands before the last arguments.
    Privilege(usize),
    /// Reads every relation of a schema or of the database.
    ReadsAll,
    /// Reads from a cursor.
    Cursor(Slot),
    SetConfig,
    /// A cast in the form of a call.
    Names(&'static str),
}

/// Whether a text that a function gets is SQL, or the name of something.
pub(crate) fn reads_texts(name: &str) -> bool {
    !matches!(meaning(name), Meaning::Plain)
}

fn meaning(name: &str) -> Meaning {
    match name {
        "query_to_xml" | "query_to_xmlschema" | "query_to_xml_and_xmlschema" => {
            Meaning::Runs(slot(0, "query"))
        }
        "ts_stat" => Meaning::Runs(slot(0, "query")),
        "ts_rewrite" => Meaning::Rewrites,
        "connectby" => Meaning::Builds,
        "dblink" | "dblink_exec" | "dblink_open" | "dblink_send_query" => Meaning::Remote,
        "table_to_xml" | "table_to_xmlschema" | "table_to_xml_and_xmlschema" => {
            Meaning::Opens(slot(0, "tbl"), Access::Read)
        }
        "schema_to_xml"
        | "schema_to_xmlschema"
        | "schema_to_xml_and_xmlschema"
        | "database_to_xml"
        | "database_to_xmlschema"
        | "database_to_xml_and_xmlschema" => Meaning::ReadsAll,
        "cursor_to_xml" | "cursor_to_xmlschema" => Meaning::Cursor(slot(0, "cursor")),
        "set_config" => Meaning::SetConfig,
        "regclass" | "to_regclass" => Meaning::Names("regclass"),
        "regproc" | "to_regproc" => Meaning::Names("regproc"),
        "regprocedure" | "to_regprocedure" => Meaning::Names("regprocedure"),
        other if other.starts_with("crosstab") => Meaning::RunsTexts,
        other => opening(other),
    }
}

fn opening(name: &str) -> Meaning {
    match name {
        "nextval"
        | "setval"
        | "brin_summarize_new_values"
        | "brin_summarize_range"
        | "brin_desummarize_range"
        | "gin_clean_pending_list"
        | "pg_truncate_visibility_map"
        | "lock_table" => Meaning::Opens(slot(0, "relation"), Access::Write),
        "currval"
        | "pg_get_sequence_data"
        | "get_raw_page"
        | "pgstattuple"
        | "pgstattuple_approx"
        | "pgrowlocks"
        | "pg_prewarm"
        | "dblink_build_sql_insert"
        | "dblink_build_sql_delete"
        | "dblink_build_sql_update" => Meaning::Opens(slot(0, "relname"), Access::Read),
        "pg_relation_size"
        | "pg_table_size"
        | "pg_total_relation_size"
        | "pg_indexes_size"
        | "pg_relation_filepath"
        | "pg_relation_filenode"
        | "pg_relation_is_updatable"
        | "pg_column_is_updatable"
        | "pg_get_viewdef"
        | "pg_get_serial_sequence"
        | "pg_get_partkeydef"
        | "pg_partition_tree"
        | "pg_partition_root"
        | "pg_partition_ancestors"
        | "pg_sequence_last_value"
        | "pg_sequence_parameters"
        | "pg_visibility"
        | "pg_visibility_map"
        | "pgstatindex"
        | "dblink_get_pkey"
        | "row_security_active" => Meaning::Describes(slot(0, "relation")),
        "has_table_privilege" | "has_any_column_privilege" | "has_sequence_privilege" => {
            Meaning::Privilege(2)
        }
        "has_column_privilege" => Meaning::Privilege(3),
        _ => Meaning::Plain,
    }
}

/// What is known of an argument.
#[derive(Debug, Clone, Copy)]
enum Argument<'a> {
    Missing,
    Text(&'a str),
    /// A number or a parameter: it may be the OID of anything.
    Number,
    Computed,
}

fn argument(call: &nodes::FuncCall, slot: Slot) -> Argument<'_> {
    let mut positional = 0;
    for node in call.args() {
        let value = if let Node::NamedArgExpr(named) = node {
            if named.name() != Some(slot.name) {
                continue;
            }
            named.arg()
        } else {
            positional += 1;
            if positional != slot.index + 1 {
                continue;
            }
            node
        };
        return classify(value);
    }
    Argument::Missing
}

fn classify(value: Node<'_>) -> Argument<'_> {
    if let Some(text) = literal::text(value) {
        return Argument::Text(text);
    }
    if matches!(literal::bare(value), Node::ParamRef(_)) {
        return Argument::Number;
    }
    match literal::constant(value) {
        Literal::Value(ConstValue::Integer(_) | ConstValue::Float(_)) => Argument::Number,
        Literal::Value(_) | Literal::Null | Literal::None => Argument::Computed,
    }
}

impl<'a> Walk<'a, '_> {
    /// Records a call and what it does beyond its name.
    pub(crate) fn call(&mut self, call: &'a nodes::FuncCall) {
        let Some(written) = Qualified::of_list(call.funcname()) else {
            self.found.opaque(Unknown::UnknownStatement);
            return;
        };
        self.found.functions.add(written.function());
        if let Some(Older::Call(name)) = newer::form(Node::FuncCall(call))
            .and_then(|newer| newer.read_by(self.environment.context.server_major))
        {
            self.found.functions.add(FunctionUse { schema: None, name: name.to_owned() });
        }
        match meaning(written.name) {
            Meaning::Plain => {}
            Meaning::Runs(slot) => self.runs(argument(call, slot)),
            Meaning::Rewrites => {
                if call.args().len() == 2 {
                    self.runs(argument(call, slot(1, "")));
                }
            }
            Meaning::RunsTexts => self.runs_texts(call),
            Meaning::Remote => self.remote(call),
            Meaning::Builds => self.opaque_text(),
            Meaning::Opens(slot, access) => self.opens(argument(call, slot), access),
            Meaning::Describes(slot) => self.describes(argument(call, slot)),
            Meaning::Privilege(from_end) => {
                if let Some(index) = call.args().len().checked_sub(from_end) {
                    self.describes(argument(call, slot(index, "")));
                }
            }
            Meaning::ReadsAll => self.found.relations.unknown(Unknown::NotConstant),
            Meaning::Cursor(slot) => self.cursor(argument(call, slot)),
            Meaning::SetConfig => self.set_config(call),
            Meaning::Names(kind) => {
                if let Argument::Text(text) = argument(call, slot(0, "")) {
                    self.named_in_text(kind, text, false);
                }
            }
        }
    }

    /// `(x).f` and `f.x`: a call whose argument is whatever stands before the dot.
    pub(crate) fn attribute(&mut self, name: &str) {
        self.indirect(Qualified { schema: None, name });
    }

    /// A function that is called with arguments which are not here: through an operator, a cast,
    /// an aggregate, a trigger, or a dot.
    pub(crate) fn indirect(&mut self, written: Qualified<'_>) {
        self.found.functions.add(written.function());
        match meaning(written.name) {
            Meaning::Plain | Meaning::Privilege(_) | Meaning::Names(_) | Meaning::SetConfig => {}
            Meaning::Runs(_)
            | Meaning::Rewrites
            | Meaning::RunsTexts
            | Meaning::Remote
            | Meaning::Builds
            | Meaning::Cursor(_) => self.opaque_text(),
            Meaning::Opens(..) | Meaning::Describes(_) | Meaning::ReadsAll => {
                self.found.relations.unknown(Unknown::NotConstant);
            }
        }
    }

    fn opaque_text(&mut self) {
        self.found.opaque(Unknown::NotConstant);
    }

    fn runs(&mut self, argument: Argument<'a>) {
        match argument {
            Argument::Text(text) => {
                let inner = walk::text(text, self.environment);
                self.found.merge(inner);
                self.found.runs_text = true;
            }
            Argument::Missing | Argument::Number | Argument::Computed => self.opaque_text(),
        }
    }

    fn runs_texts(&mut self, call: &'a nodes::FuncCall) {
        for node in call.args() {
            let value = if let Node::NamedArgExpr(named) = node { named.arg() } else { node };
            let argument = classify(value);
            // A number counts columns; it is no text.
            let counts = matches!(argument, Argument::Number)
                && !matches!(literal::bare(value), Node::ParamRef(_));
            if !counts {
                self.runs(argument);
            }
        }
    }

    /// Which argument is the SQL depends on types: each text that parses counts, one must.
    fn remote(&mut self, call: &'a nodes::FuncCall) {
        let mut understood = false;
        for node in call.args() {
            let value = if let Node::NamedArgExpr(named) = node { named.arg() } else { node };
            match classify(value) {
                Argument::Text(text) if crate::parse::parse(text).is_ok() => {
                    understood = true;
                    let inner = walk::text(text, self.environment.elsewhere());
                    self.found.merge(inner);
                }
                Argument::Text(_) => {}
                Argument::Computed if literal::boolean(value).is_some() => {}
                Argument::Missing | Argument::Number | Argument::Computed => self.opaque_text(),
            }
        }
        if !understood {
            self.opaque_text();
        }
    }

    fn opens(&mut self, argument: Argument<'a>, access: Access) {
        let relation = match argument {
            Argument::Text(text) => self.relation_in_text(text),
            Argument::Missing | Argument::Number | Argument::Computed => None,
        };
        match relation {
            Some(relation) => self.found.relations.add(RelationUse { relation, access }),
            None => self.found.relations.unknown(Unknown::NotConstant),
        }
    }

    /// An OID is left alone: it comes from a catalog, which is a relation itself and as telling.
    fn describes(&mut self, argument: Argument<'a>) {
        let Argument::Text(text) = argument else { return };
        if let Some(relation) = self.relation_in_text(text) {
            self.found.relations.add(RelationUse { relation, access: Access::Read });
        }
    }

    fn cursor(&mut self, argument: Argument<'a>) {
        match argument {
            Argument::Text(name) => {
                let name = name.to_owned();
                self.found.references.push(NameRef { kind: NameKind::Cursor, name });
            }
            Argument::Missing | Argument::Number | Argument::Computed => {
                self.found.opaque(Unknown::UnresolvedName);
            }
        }
    }

    fn set_config(&mut self, call: &'a nodes::FuncCall) {
        let name = match argument(call, slot(0, "setting_name")) {
            Argument::Text(name) => settings::canonical(name),
            Argument::Missing | Argument::Number | Argument::Computed => "*".to_owned(),
        };
        let arguments = call.args();
        let value = arguments.get(1).filter(|node| !matches!(node, Node::NamedArgExpr(_)));
        let value = value.map_or(SettingValue::Unknown, setting_value);
        let local = arguments.get(2).and_then(literal::boolean).unwrap_or(false);
        let change = if local { SettingChange::Local } else { SettingChange::Session };
        if name == "search_path" || name == "*" {
            let certain = self.certain.iter().any(|known| std::ptr::eq(*known, call));
            self.moves_search_path(&name, &value, certain);
        }
        self.found.settings.add(SettingUse { name, change, value });
    }

    /// A call that may run any number of times leaves the path unknown.
    fn moves_search_path(&mut self, name: &str, value: &SettingValue, certain: bool) {
        let schemas = match value {
            SettingValue::Constants(values) if certain && name == "search_path" => {
                values.first().and_then(|value| parse_search_path(value))
            }
            SettingValue::Constants(_) | SettingValue::Default | SettingValue::Unknown => None,
        };
        let path = schemas.map_or(NewSearchPath::Unknown, NewSearchPath::Schemas);
        self.found.moves_path = true;
        self.found.effects.push(Effect::SearchPath(path));
    }
}

fn setting_value(node: Node<'_>) -> SettingValue {
    match literal::constant(node) {
        Literal::Null => SettingValue::Default,
        Literal::Value(_) => literal::setting_text(node)
            .map_or(SettingValue::Unknown, |text| SettingValue::Constants(vec![text])),
        Literal::None => SettingValue::Unknown,
    }
}
