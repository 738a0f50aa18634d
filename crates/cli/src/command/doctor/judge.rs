//! What the observations mean. Pure: observations in, findings out, worst first.

use model::SERVER_MAJORS;
use serde::Serialize;

use super::collect::{HbaRule, Membership, Observations, StoredSetting};

/// Something that undermines the door.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// How bad.
    pub(crate) severity: Severity,
    /// Stable name.
    pub(crate) code: &'static str,
    /// What it is and why it matters.
    pub(crate) message: String,
    /// How to mend it: SQL, or what to do.
    pub(crate) remedy: String,
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The door can be walked around, or what one slip lets through is unbounded.
    Critical,
    /// More than agents should have.
    Warning,
}

impl Severity {
    /// As text.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// Predefined roles that give more than rows.
const PREDEFINED: &[(&str, Severity, &str)] = &[
    ("pg_read_server_files", Severity::Critical, "it can read any file of the server"),
    ("pg_write_server_files", Severity::Critical, "it can write any file of the server"),
    ("pg_execute_server_program", Severity::Critical, "it can run programs on the server"),
    ("pg_read_all_data", Severity::Critical, "it can read every table, whatever is granted"),
    ("pg_write_all_data", Severity::Critical, "it can write every table, whatever is granted"),
    ("pg_database_owner", Severity::Warning, "it owns the database"),
    ("pg_maintain", Severity::Warning, "it can lock and rewrite every table"),
    ("pg_checkpoint", Severity::Warning, "it can force checkpoints"),
    ("pg_create_subscription", Severity::Critical, "it can pull data from and connect to others"),
    ("pg_use_reserved_connections", Severity::Warning, "it can use up the reserved connections"),
    ("pg_signal_backend", Severity::Warning, "it can end other sessions"),
    ("pg_signal_autovacuum_worker", Severity::Warning, "it can end maintenance"),
    ("pg_monitor", Severity::Warning, "it sees the statements of other sessions"),
    ("pg_read_all_settings", Severity::Warning, "it sees every setting"),
    ("pg_read_all_stats", Severity::Warning, "it sees the statements of other sessions"),
    ("pg_stat_scan_tables", Severity::Warning, "it can lock any table for long"),
];

/// Extensions that open another way out.
const EXTENSIONS: &[(&str, &str)] = &[
    ("adminpack", "it writes files on the server"),
    ("aws_lambda", "it calls out of the database"),
    ("aws_s3", "it copies data out of the database"),
    ("dblink", "it runs statements, as text, on other connections: nobody judges them"),
    ("file_fdw", "it reads files and programs of the server as tables"),
    ("http", "it calls out of the database"),
    ("mysql_fdw", "it reaches other servers"),
    ("oracle_fdw", "it reaches other servers"),
    ("pg_cron", "it runs statements later, when nobody judges them"),
    ("pg_net", "it calls out of the database"),
    ("plperlu", "its functions can do anything that the server's account can"),
    ("plpython2u", "its functions can do anything that the server's account can"),
    ("plpython3u", "its functions can do anything that the server's account can"),
    ("plpythonu", "its functions can do anything that the server's account can"),
    ("pltclu", "its functions can do anything that the server's account can"),
    ("plsh", "its functions run shell commands"),
    ("postgres_fdw", "it reaches other servers"),
    ("tds_fdw", "it reaches other servers"),
];

/// Stored settings that change what a statement's text means.
const SETTINGS: &[(&str, Severity)] = &[
    ("standard_conforming_strings", Severity::Critical),
    ("backslash_quote", Severity::Warning),
    ("client_encoding", Severity::Warning),
    ("search_path", Severity::Warning),
    ("role", Severity::Critical),
    ("session_authorization", Severity::Critical),
    ("local_preload_libraries", Severity::Warning),
    ("session_preload_libraries", Severity::Warning),
    ("session_replication_role", Severity::Critical),
    ("row_security", Severity::Warning),
];

/// Everything found, worst first.
pub(crate) fn findings(observed: &Observations) -> Vec<Finding> {
    let mut found = Vec::new();
    attributes(observed, &mut found);
    for membership in &observed.memberships {
        found.extend(membership_finding(&observed.role.name, membership));
    }
    server(observed, &mut found);
    for setting in &observed.settings {
        found.extend(setting_finding(setting));
    }
    for rule in &observed.hba {
        found.extend(hba_finding(&observed.role.name, rule));
    }
    creation(observed, &mut found);
    code(observed, &mut found);
    found.sort();
    found
}

fn attributes(observed: &Observations, found: &mut Vec<Finding>) {
    let role = quoted(&observed.role.name);
    for attribute in observed.role.attributes.iter().copied() {
        let (severity, code, why) = match attribute {
            "SUPERUSER" => (
                Severity::Critical,
                "superuser",
                "the role is a superuser: no privilege stands behind the door, and files and \
                 programs of the server are within reach",
            ),
            "BYPASSRLS" => {
                (Severity::Critical, "bypass_rls", "row security does not apply to the role")
            }
            "CREATEROLE" => (
                Severity::Critical,
                "create_role",
                "the role can make roles and grant itself memberships",
            ),
            "REPLICATION" => (
                Severity::Critical,
                "replication",
                "the role can copy the whole server through the replication protocol",
            ),
            _ => (Severity::Warning, "create_db", "the role can make databases"),
        };
        found.push(Finding {
            severity,
            code,
            message: why.to_owned(),
            remedy: format!("ALTER ROLE {role} NO{attribute};"),
        });
    }
}

fn membership_finding(role: &str, membership: &Membership) -> Option<Finding> {
    let remedy = if membership.name == "pg_database_owner" {
        // Nobody is granted this one: it follows from owning the database.
        "ALTER DATABASE <database> OWNER TO <another role>;".to_owned()
    } else {
        format!("REVOKE {} FROM {};", quoted(&membership.name), quoted(role))
    };
    if let Some((name, severity, why)) =
        PREDEFINED.iter().copied().find(|(name, ..)| *name == membership.name)
    {
        let message = format!("the role is a member of {name}: {why}");
        return Some(Finding { severity, code: "predefined_role", message, remedy });
    }
    if membership.attributes.is_empty() {
        return None;
    }
    let message = format!(
        "the role can become {}, which is {}",
        membership.name,
        membership.attributes.join(", ")
    );
    Some(Finding { severity: Severity::Critical, code: "powerful_role", message, remedy })
}

fn server(observed: &Observations, found: &mut Vec<Finding>) {
    let server = &observed.server;
    if server.standard_strings != "on" {
        found.push(Finding {
            severity: Severity::Critical,
            code: "standard_conforming_strings",
            message: "standard_conforming_strings is off: a backslash changes where a string \
                      ends, so statements with one are refused"
                .to_owned(),
            remedy: "ALTER SYSTEM RESET standard_conforming_strings; SELECT pg_reload_conf();"
                .to_owned(),
        });
    }
    if !matches!(server.encoding.as_str(), "UTF8" | "UNICODE") {
        found.push(Finding {
            severity: Severity::Warning,
            code: "server_encoding",
            message: format!(
                "the database's encoding is {}: bytes beyond ASCII are not read as the door \
                 reads them, so statements with such bytes may be refused",
                server.encoding
            ),
            remedy: "create the database with ENCODING 'UTF8'".to_owned(),
        });
    }
    let major = server.version_number / 10_000;
    if !u16::try_from(major).is_ok_and(|major| SERVER_MAJORS.contains(&major)) {
        found.push(Finding {
            severity: Severity::Warning,
            code: "server_version",
            message: format!(
                "PostgreSQL {major} is not one of {} to {}: it may read a statement otherwise than \
                 it is judged, so the door refuses every statement unless the policy's \
                 `accept_server_versions` names it",
                SERVER_MAJORS.start(),
                SERVER_MAJORS.end()
            ),
            remedy: "use a supported version of PostgreSQL".to_owned(),
        });
    }
}

fn setting_finding(setting: &StoredSetting) -> Option<Finding> {
    let (name, value) = setting.assignment.split_once('=')?;
    let (_, severity) =
        SETTINGS.iter().copied().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    if name.eq_ignore_ascii_case("standard_conforming_strings") && value == "on" {
        return None;
    }
    let (scope, statement) = match (&setting.role, &setting.database) {
        (Some(role), None) => {
            (format!("the role {role}"), format!("ALTER ROLE {} RESET", quoted(role)))
        }
        (Some(role), Some(database)) => (
            format!("the role {role} in {database}"),
            format!("ALTER ROLE {} IN DATABASE {} RESET", quoted(role), quoted(database)),
        ),
        (None, Some(database)) => (
            format!("the database {database}"),
            format!("ALTER DATABASE {} RESET", quoted(database)),
        ),
        (None, None) => ("every role".to_owned(), "ALTER ROLE ALL RESET".to_owned()),
    };
    Some(Finding {
        severity,
        code: "stored_setting",
        message: format!(
            "{scope} starts with {name} = {value}: it changes how statements are read or who runs \
             them"
        ),
        remedy: format!("{statement} {};", quoted(name)),
    })
}

fn hba_finding(role: &str, rule: &HbaRule) -> Option<Finding> {
    let here = match rule.address.as_deref() {
        None => rule.kind == "local",
        Some(address) => address == "::1" || address.starts_with("127."),
    };
    let (severity, code, why) = match rule.method.as_str() {
        "trust" if here => (
            Severity::Warning,
            "trust_authentication",
            "whoever is on the server's machine can be this role without a password, around the \
             door",
        ),
        "trust" => (
            Severity::Critical,
            "trust_authentication",
            "whoever reaches the server can be this role without a password, around the door",
        ),
        "password" => {
            (Severity::Warning, "cleartext_password", "the password crosses the network readably")
        }
        "md5" => (Severity::Warning, "md5_password", "MD5 passwords can be replayed once stolen"),
        _ => return None,
    };
    Some(Finding {
        severity,
        code,
        message: format!(
            "line {} of pg_hba.conf ({} {} {}) can match {role}: {why}",
            rule.line,
            rule.kind,
            rule.address.as_deref().unwrap_or("-"),
            rule.method
        ),
        remedy: "in pg_hba.conf let only the door's address in, with scram-sha-256; then SELECT \
                 pg_reload_conf();"
            .to_owned(),
    })
}

fn creation(observed: &Observations, found: &mut Vec<Finding>) {
    let role = quoted(&observed.role.name);
    let database = quoted(&observed.server.database);
    for schema in &observed.creatable_schemas {
        let name = quoted(schema);
        found.push(Finding {
            severity: Severity::Warning,
            code: "create_in_schema",
            message: format!(
                "the role can create in schema {schema}: a table, function or operator of its own \
                 can take the place of the one that a statement means"
            ),
            remedy: format!(
                "REVOKE CREATE ON SCHEMA {name} FROM PUBLIC;\n\
                 REVOKE CREATE ON SCHEMA {name} FROM {role};"
            ),
        });
    }
    if observed.temporary {
        found.push(Finding {
            severity: Severity::Warning,
            code: "temporary_tables",
            message: "the role can make temporary tables, which come before all others in the \
                      search path"
                .to_owned(),
            remedy: format!(
                "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;\n\
                 REVOKE TEMPORARY ON DATABASE {database} FROM {role};"
            ),
        });
    }
    if observed.create_in_database {
        found.push(Finding {
            severity: Severity::Warning,
            code: "create_in_database",
            message: "the role can create schemas, and trusted extensions".to_owned(),
            remedy: format!("REVOKE CREATE ON DATABASE {database} FROM {role};"),
        });
    }
    if observed.owned > 0 {
        found.push(Finding {
            severity: Severity::Warning,
            code: "owner",
            message: format!(
                "the role owns {} relations of this database: privileges and row security do not \
                 bind an owner",
                observed.owned
            ),
            remedy: format!("REASSIGN OWNED BY {role} TO another_role;"),
        });
    }
}

fn code(observed: &Observations, found: &mut Vec<Finding>) {
    let role = quoted(&observed.role.name);
    for function in &observed.functions {
        found.push(Finding {
            severity: Severity::Critical,
            code: "dangerous_function",
            message: format!("the role can run pg_catalog.{function}, which is not for everybody"),
            remedy: format!(
                "REVOKE EXECUTE ON ROUTINE pg_catalog.{} FROM PUBLIC, {role};",
                quoted(function)
            ),
        });
    }
    for function in &observed.definers {
        found.push(Finding {
            severity: Severity::Warning,
            code: "security_definer",
            message: format!("the role can run {function}, which acts as a superuser"),
            remedy: format!("REVOKE EXECUTE ON ROUTINE {function} FROM PUBLIC, {role};"),
        });
    }
    for extension in &observed.extensions {
        if let Some((name, why)) = EXTENSIONS.iter().copied().find(|(name, _)| name == extension) {
            found.push(Finding {
                severity: Severity::Warning,
                code: "extension",
                message: format!("the extension {name} is installed: {why}"),
                remedy: format!("DROP EXTENSION {name};"),
            });
        }
    }
}

/// A name as SQL needs it.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && name.bytes().all(plain) && !RESERVED.contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reserved words that are likely names.
const RESERVED: &[&str] = &["user", "all", "table", "order", "group", "default", "role"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::collect::{Role, Server};

    fn sound() -> Observations {
        Observations {
            server: Server {
                version: "18.4".to_owned(),
                version_number: 180_004,
                encoding: "UTF8".to_owned(),
                database: "shop".to_owned(),
                standard_strings: "on".to_owned(),
            },
            role: Role { name: "agent".to_owned(), attributes: Vec::new() },
            ..Observations::default()
        }
    }

    fn codes(observed: &Observations) -> Vec<&'static str> {
        findings(observed).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_plain_role_is_clean() {
        assert_eq!(findings(&sound()), []);
    }

    #[test]
    fn powers_of_the_role_are_found_with_their_remedy() {
        let mut observed = sound();
        observed.role =
            Role { name: "Agent".to_owned(), attributes: vec!["CREATEDB", "SUPERUSER"] };
        let found = findings(&observed);
        assert_eq!(codes(&observed), ["superuser", "create_db"]);
        assert_eq!(found[0].remedy, "ALTER ROLE \"Agent\" NOSUPERUSER;");
    }

    #[test]
    fn memberships_count_only_if_they_give_power() {
        let mut observed = sound();
        let member = |name: &str, attributes| Membership { name: name.to_owned(), attributes };
        observed.memberships.push(member("readers", vec![]));
        assert_eq!(findings(&observed), []);
        observed.memberships.push(member("pg_read_server_files", vec![]));
        observed.memberships.push(member("admins", vec!["SUPERUSER"]));
        assert_eq!(codes(&observed), ["powerful_role", "predefined_role"]);
    }

    #[test]
    fn settings_that_change_the_text_are_found() {
        let mut observed = sound();
        let mut store = |assignment: &str| {
            observed.settings.push(StoredSetting {
                role: Some("agent".to_owned()),
                database: None,
                assignment: assignment.to_owned(),
            });
        };
        store("work_mem=64MB");
        store("standard_conforming_strings=on");
        store("standard_conforming_strings=off");
        let found = findings(&observed);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].remedy, "ALTER ROLE agent RESET standard_conforming_strings;");
    }

    #[test]
    fn an_unknown_server_is_found() {
        let mut observed = sound();
        observed.server.version_number = 190_000;
        observed.server.encoding = "SQL_ASCII".to_owned();
        observed.server.standard_strings = "off".to_owned();
        assert_eq!(
            codes(&observed),
            ["standard_conforming_strings", "server_encoding", "server_version"]
        );
    }

    #[test]
    fn ways_around_the_door_are_found() {
        let mut observed = sound();
        let rule = |method: &str| HbaRule {
            line: 7,
            kind: "host".to_owned(),
            address: Some("10.0.0.0".to_owned()),
            method: method.to_owned(),
        };
        observed.hba = vec![rule("scram-sha-256"), rule("trust"), rule("md5")];
        observed.extensions = vec!["plpgsql".to_owned(), "dblink".to_owned()];
        observed.temporary = true;
        observed.creatable_schemas = vec!["public".to_owned()];
        let expected = [
            "trust_authentication",
            "create_in_schema",
            "extension",
            "md5_password",
            "temporary_tables",
        ];
        assert_eq!(codes(&observed), expected);
    }
}
