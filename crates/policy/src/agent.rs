//! What one agent may do, compiled.

use std::collections::BTreeMap;

use crate::Mode;
use crate::callable::Callables;
use crate::column::ColumnRule;
use crate::profile::{Guards, OperationSet, Operations, Profile, Reach};
use crate::setting_list::SettingList;
use crate::table::TableSet;

/// The rights of an agent, or of connections that no entry of `agents` describes.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) operations: Operations,
    pub(crate) guards: Guards,
    pub(crate) blocked_tables: TableSet,
    /// Every list that is about a relation narrows it.
    pub(crate) columns: Vec<ColumnRule>,
    pub(crate) functions: Callables,
    /// The settings that it may change.
    pub(crate) settings: SettingList,
    /// The tables that it may reach, whatever its mission. `None`: all.
    pub(crate) tables: Option<TableSet>,
    /// The tenant that it acts for, if its identity brings none.
    pub(crate) tenant: Option<String>,
    /// Held beside what the principal brings.
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// Tables by mission. `None`: the agent has no missions, and every table is permitted.
    pub(crate) missions: Option<BTreeMap<String, TableSet>>,
    pub(crate) mode: Mode,
}

impl Agent {
    /// Everything that nothing forbids.
    pub(crate) fn unrestricted() -> Self {
        Self {
            operations: Profile::permissive().operations(OperationSet::EMPTY, OperationSet::EMPTY),
            guards: Guards::default(),
            blocked_tables: TableSet::default(),
            columns: Vec::new(),
            functions: Callables::default(),
            settings: SettingList::default(),
            tables: None,
            tenant: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            missions: None,
            mode: Mode::Enforce,
        }
    }

    /// Whether something is blocked, however it is reached.
    pub(crate) fn blocks(&self) -> bool {
        !self.blocked_tables.is_empty() || !self.columns.is_empty()
    }

    /// Whether it may not do everything, or not everywhere.
    pub(crate) fn narrows(&self) -> bool {
        self.operations.reach != Reach::Everything
            || self.missions.is_some()
            || self.tables.is_some()
    }

    /// Whether only the built-in functions of its profile may be called; a list of its own says otherwise.
    pub(crate) fn calls_steady_only(&self) -> bool {
        self.operations.steady && !self.functions.lists()
    }

    /// Whether it adds something to a principal.
    pub(crate) fn supplies(&self) -> bool {
        self.tenant.is_some() || !self.roles.is_empty() || !self.scopes.is_empty()
    }
}
