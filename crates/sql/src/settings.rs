//! SET in all its spellings, and what it does to the session.
//!
//! Invariant: a setting has one name here, whatever the spelling; the grammar already maps
//! `TIME ZONE`, `NAMES`, `SCHEMA`, `ROLE` and their like to it.

use model::{SettingChange, SettingUse, SettingValue};

use crate::analysis::{Effect, NewSearchPath};
use crate::literal;
use crate::parse::{Node, NodeList, nodes, raw};
use crate::walk::Walk;

/// The name under which PostgreSQL keeps a setting: lower case, old names replaced.
pub(crate) fn canonical(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "sort_mem" => "work_mem".to_owned(),
        "vacuum_mem" => "maintenance_work_mem".to_owned(),
        "force_parallel_mode" => "debug_parallel_query".to_owned(),
        _ => name,
    }
}

impl<'a> Walk<'a, '_> {
    /// SET or RESET for this session.
    pub(crate) fn set(&mut self, statement: &'a nodes::VariableSetStmt) {
        use raw::VariableSetKind as Kind;
        let name = statement.name().unwrap_or_default();
        let change = if statement.is_local { SettingChange::Local } else { SettingChange::Session };
        match statement.kind {
            Kind::VAR_SET_MULTI => self.set_modes(name, statement.args()),
            Kind::VAR_RESET_ALL => self.reset_all(),
            Kind::VAR_SET_VALUE => self.setting(name, change, constants(statement.args())),
            Kind::VAR_SET_DEFAULT | Kind::VAR_RESET => {
                self.setting(name, SettingChange::Reset, SettingValue::Default);
            }
            _ => self.setting(name, change, SettingValue::Unknown),
        }
    }

    /// A setting stored for later sessions or calls.
    pub(crate) fn store(&mut self, statement: &'a nodes::VariableSetStmt) {
        use raw::VariableSetKind as Kind;
        let value = match statement.kind {
            Kind::VAR_SET_VALUE => constants(statement.args()),
            Kind::VAR_SET_DEFAULT | Kind::VAR_RESET | Kind::VAR_RESET_ALL => SettingValue::Default,
            _ => SettingValue::Unknown,
        };
        let name = match statement.kind {
            Kind::VAR_RESET_ALL => "all".to_owned(),
            _ => canonical(statement.name().unwrap_or("*")),
        };
        self.found.settings.add(SettingUse { name, change: SettingChange::Stored, value });
    }

    /// RESET ALL, and the settings part of DISCARD ALL.
    pub(crate) fn reset_all(&mut self) {
        let (name, change) = ("all".to_owned(), SettingChange::ResetAll);
        self.found.settings.add(SettingUse { name, change, value: SettingValue::Default });
        self.found.moves_path = true;
        self.found.effects.push(Effect::SearchPath(NewSearchPath::Reset));
    }

    /// Transaction modes, under the names of the settings that they set.
    pub(crate) fn modes(&mut self, modes: &'a NodeList, prefix: &str, change: SettingChange) {
        for mode in modes {
            let Node::DefElem(mode) = mode else { continue };
            let name = format!("{prefix}{}", mode.defname().unwrap_or_default());
            let value = mode_value(mode);
            self.found.settings.add(SettingUse { name, change, value });
        }
    }

    fn set_modes(&mut self, name: &str, arguments: &'a NodeList) {
        match name {
            "TRANSACTION" => self.modes(arguments, "", SettingChange::Local),
            "SESSION CHARACTERISTICS" => {
                self.modes(arguments, "default_", SettingChange::Session);
            }
            "TRANSACTION SNAPSHOT" => {
                self.setting("transaction_snapshot", SettingChange::Local, constants(arguments));
            }
            _ => self.setting("*", SettingChange::Session, SettingValue::Unknown),
        }
    }

    fn setting(&mut self, name: &str, change: SettingChange, value: SettingValue) {
        let name = canonical(name);
        if name == "search_path" {
            let path = match &value {
                SettingValue::Constants(schemas) => NewSearchPath::Schemas(schemas.clone()),
                SettingValue::Default => NewSearchPath::Reset,
                SettingValue::Unknown => NewSearchPath::Unknown,
            };
            self.found.moves_path = true;
            self.found.effects.push(Effect::SearchPath(path));
        }
        self.found.settings.add(SettingUse { name, change, value });
    }
}

fn mode_value(mode: &nodes::DefElem) -> SettingValue {
    let is_switch = mode.defname() != Some("transaction_isolation");
    match literal::setting_text(mode.arg()) {
        Some(text) if is_switch => {
            let on = literal::bool_text(&text) == Some(true);
            SettingValue::Constants(vec![if on { "on" } else { "off" }.to_owned()])
        }
        Some(text) => SettingValue::Constants(vec![text]),
        None => SettingValue::Unknown,
    }
}

fn constants(arguments: &NodeList) -> SettingValue {
    let values: Option<Vec<String>> = arguments.iter().map(literal::setting_text).collect();
    values.map_or(SettingValue::Unknown, SettingValue::Constants)
}
