//! Asks the catalogs. Everything is schema-qualified and read-only; a question that the server
//! refuses to answer becomes a [`Gap`], never a silent pass.

use anyhow::{Context, bail};
use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// The server.
    pub(crate) server: Server,
    /// The role that agents use.
    pub(crate) role: Role,
    /// Roles that it can become or inherits from, with what they carry.
    pub(crate) memberships: Vec<Membership>,
    /// Settings stored for the role or the database.
    pub(crate) settings: Vec<StoredSetting>,
    /// Authentication rules that may match the role.
    pub(crate) hba: Vec<HbaRule>,
    /// Schemas in which it can create.
    pub(crate) creatable_schemas: Vec<String>,
    /// Whether it can make temporary tables.
    pub(crate) temporary: bool,
    /// Whether it can create schemas in the database.
    pub(crate) create_in_database: bool,
    /// How many relations it owns.
    pub(crate) owned: i64,
    /// Functions it can run that ordinary roles cannot.
    pub(crate) functions: Vec<String>,
    /// SECURITY DEFINER functions of superusers that it can run.
    pub(crate) definers: Vec<String>,
    /// Installed extensions.
    pub(crate) extensions: Vec<String>,
    /// What could not be found out.
    pub(crate) gaps: Vec<Gap>,
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// As it calls itself.
    pub(crate) version: String,
    /// `180004` for 18.4.
    pub(crate) version_number: i32,
    /// `UTF8`, …
    pub(crate) encoding: String,
    /// The database.
    pub(crate) database: String,
    /// `standard_conforming_strings`.
    pub(crate) standard_strings: String,
}

/// A role's own attributes.
#[derive(Debug, Default)]
pub(crate) struct Role {
    /// Its name.
    pub(crate) name: String,
    /// The attributes that it has, as `ALTER ROLE` spells them.
    pub(crate) attributes: Vec<&'static str>,
}

impl Role {
    /// Whether no privilege check applies to it.
    pub(crate) fn is_superuser(&self) -> bool {
        self.attributes.contains(&"SUPERUSER")
    }
}

/// A role that the role is a member of, directly or not.
#[derive(Debug)]
pub(crate) struct Membership {
    /// Its name.
    pub(crate) name: String,
    /// Its attributes.
    pub(crate) attributes: Vec<&'static str>,
}

/// A line of `pg_db_role_setting`.
#[derive(Debug)]
pub(crate) struct StoredSetting {
    /// For this role only, if set.
    pub(crate) role: Option<String>,
    /// In this database only, if set.
    pub(crate) database: Option<String>,
    /// `name=value`.
    pub(crate) assignment: String,
}

/// A line of `pg_hba.conf`.
#[derive(Debug)]
pub(crate) struct HbaRule {
    /// Its line number.
    pub(crate) line: i32,
    /// `local`, `host`, …
    pub(crate) kind: String,
    /// The address that it is for, if it is not `local`.
    pub(crate) address: Option<String>,
    /// `trust`, …
    pub(crate) method: String,
}

/// What could not be found out.
#[derive(Debug, Serialize)]
pub(crate) struct Gap {
    /// What.
    pub(crate) what: &'static str,
    /// Why.
    pub(crate) why: String,
}

/// Functions that PostgreSQL does not let everybody run, and that reach beyond the data.
const FUNCTIONS: &[&str] = &[
    "lo_export",
    "lo_import",
    "pg_ls_archive_statusdir",
    "pg_ls_dir",
    "pg_ls_logdir",
    "pg_ls_tmpdir",
    "pg_ls_waldir",
    "pg_promote",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_stat_file",
    "pg_switch_wal",
];

const SERVER: &str = "SELECT pg_catalog.current_setting('server_version'), \
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
    pg_catalog.current_setting('server_encoding'), \
    pg_catalog.current_database()::pg_catalog.text, \
    pg_catalog.current_setting('standard_conforming_strings'), \
    current_user::pg_catalog.text";

const ROLE: &str = "SELECT rolname::pg_catalog.text, rolsuper, rolbypassrls, rolcreaterole, \
    rolcreatedb, rolreplication FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.text";

const MEMBERSHIPS: &str = "SELECT rolname::pg_catalog.text, rolsuper, rolbypassrls, \
    rolcreaterole, rolcreatedb, rolreplication FROM pg_catalog.pg_roles \
    WHERE rolname <> $1::pg_catalog.text \
    AND pg_catalog.pg_has_role($1::pg_catalog.name, oid, 'MEMBER') ORDER BY rolname";

const SETTINGS: &str = "SELECT r.rolname::pg_catalog.text, d.datname::pg_catalog.text, \
    pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s \
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
    WHERE (s.setrole = 0 OR r.rolname = $1::pg_catalog.text) \
    AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())";

/// Groups and patterns (`+group`, `/regex`) are taken to match: better a finding too many.
const HBA: &str = "SELECT line_number, type, auth_method, address \
    FROM pg_catalog.pg_hba_file_rules WHERE error IS NULL \
    AND (user_name && ARRAY['all', $1::pg_catalog.text] \
    OR EXISTS (SELECT FROM pg_catalog.unnest(user_name) u WHERE u ~ '^[+/]')) \
    AND (database && ARRAY['all', 'sameuser', 'samerole', 'samegroup', \
    pg_catalog.current_database()::pg_catalog.text] \
    OR EXISTS (SELECT FROM pg_catalog.unnest(database) d WHERE d ~ '^/')) ORDER BY line_number";

const SCHEMAS: &str = "SELECT nspname::pg_catalog.text FROM pg_catalog.pg_namespace \
    WHERE nspname !~ '^pg_(toast_)?temp_' \
    AND pg_catalog.has_schema_privilege($1::pg_catalog.name, oid, 'CREATE') ORDER BY 1";

const DATABASE: &str = "SELECT pg_catalog.has_database_privilege($1::pg_catalog.name, \
    pg_catalog.current_database()::pg_catalog.text, 'TEMPORARY'), \
    pg_catalog.has_database_privilege($1::pg_catalog.name, \
    pg_catalog.current_database()::pg_catalog.text, 'CREATE'), \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r \
    ON r.oid = c.relowner WHERE r.rolname = $1::pg_catalog.text \
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace <> 11 \
    AND c.relnamespace::pg_catalog.regnamespace::pg_catalog.text !~ '^pg_(toast|temp)')";

const EXECUTABLE: &str = "SELECT DISTINCT proname::pg_catalog.text FROM pg_catalog.pg_proc \
    WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace \
    AND proname = ANY($2::pg_catalog.text[]) \
    AND pg_catalog.has_function_privilege($1::pg_catalog.name, oid, 'EXECUTE') ORDER BY 1";

const DEFINERS: &str = "SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner \
    WHERE p.prosecdef AND r.rolsuper AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace \
    AND pg_catalog.has_function_privilege($1::pg_catalog.name, p.oid, 'EXECUTE') \
    ORDER BY 1 LIMIT 20";

const EXTENSIONS: &str =
    "SELECT extname::pg_catalog.text FROM pg_catalog.pg_extension ORDER BY extname";

/// Asks everything about `role`, or about the role that connects.
pub(crate) async fn observe(client: &Client, role: Option<&str>) -> anyhow::Result<Observations> {
    client
        .batch_execute("SET default_transaction_read_only = on; SET search_path = pg_catalog")
        .await
        .context("cannot make the connection read-only")?;
    let row = client.query_one(SERVER, &[]).await.context("cannot ask the server what it is")?;
    let own: String = row.try_get(5)?;
    let name = role.unwrap_or(&own);
    let mut observed = Observations {
        server: Server {
            version: row.try_get(0)?,
            version_number: row.try_get(1)?,
            encoding: row.try_get(2)?,
            database: row.try_get(3)?,
            standard_strings: row.try_get(4)?,
        },
        ..Observations::default()
    };
    let Some(row) = client.query_opt(ROLE, &[&name]).await.context("cannot read roles")? else {
        bail!("there is no role `{name}`");
    };
    observed.role = Role { name: row.try_get(0)?, attributes: attributes(&row)? };
    let mut questions = Questions { client, gaps: Vec::new() };
    questions.ask_about(&mut observed).await?;
    observed.gaps = questions.gaps;
    Ok(observed)
}

/// Asks, and notes what was not answered.
struct Questions<'a> {
    client: &'a Client,
    gaps: Vec<Gap>,
}

impl Questions<'_> {
    async fn ask(
        &mut self,
        what: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Vec<Row> {
        match self.client.query(sql, parameters).await {
            Ok(rows) => rows,
            Err(error) => {
                let why = error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
                self.gaps.push(Gap { what, why });
                Vec::new()
            }
        }
    }

    async fn ask_about(&mut self, observed: &mut Observations) -> anyhow::Result<()> {
        let name = observed.role.name.clone();
        let role: &[&(dyn ToSql + Sync)] = &[&name];
        for row in self.ask("settings of the role", SETTINGS, role).await {
            let (role, database, assignment) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            observed.settings.push(StoredSetting { role, database, assignment });
        }
        for row in self.ask("authentication rules", HBA, role).await {
            let (line, kind, method) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            observed.hba.push(HbaRule { line, kind, method, address: row.try_get(3)? });
        }
        let rows = self.ask("extensions", EXTENSIONS, &[]).await;
        observed.extensions = names(&rows)?;
        // To a superuser every answer below is yes, and says nothing.
        if !observed.role.is_superuser() {
            self.ask_about_privileges(observed, role).await?;
        }
        Ok(())
    }

    async fn ask_about_privileges(
        &mut self,
        observed: &mut Observations,
        role: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<()> {
        for row in self.ask("memberships", MEMBERSHIPS, role).await {
            let attributes = attributes(&row)?;
            observed.memberships.push(Membership { name: row.try_get(0)?, attributes });
        }
        let rows = self.ask("privileges on schemas", SCHEMAS, role).await;
        observed.creatable_schemas = names(&rows)?;
        for row in self.ask("privileges on the database", DATABASE, role).await {
            observed.temporary = row.try_get(0)?;
            observed.create_in_database = row.try_get(1)?;
            observed.owned = row.try_get(2)?;
        }
        let name = &observed.role.name;
        let rows = self.ask("functions it can run", EXECUTABLE, &[name, &FUNCTIONS]).await;
        observed.functions = names(&rows)?;
        let rows = self.ask("functions of superusers", DEFINERS, role).await;
        observed.definers = names(&rows)?;
        Ok(())
    }
}

fn names(rows: &[Row]) -> anyhow::Result<Vec<String>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The attributes in columns 1 to 5 of [`ROLE`] and [`MEMBERSHIPS`].
fn attributes(row: &Row) -> anyhow::Result<Vec<&'static str>> {
    const NAMES: [&str; 5] = ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION"];
    let mut found = Vec::new();
    for (column, name) in (1..).zip(NAMES) {
        if row.try_get(column)? {
            found.push(name);
        }
    }
    Ok(found)
}
