//! PostgreSQL is the oracle once more: one session makes, alters, drops and takes back relations at
//! random, and after each statement the server says what a name means now, and which columns that has.
//!
//! What we say for certain must be that; what we do not know is counted, and must be little.

use std::collections::BTreeMap;

use model::{Fact, Unknown};
use sql::catalog::Catalog;
use sql::{Context, Encoding, Extent, Known, Ready, SearchPaths, Step, Timeline};
use testkit::wire::Frame;
use testkit::{Options, PgBox, Random, Wire};

use crate::number;

const NAMES: &[&str] = &["a", "b", "c"];
const COLUMNS: &[&str] = &["x", "y", "z"];
const SAVEPOINTS: &[&str] = &["s", "t"];

const FIXTURE: &str = "CREATE TABLE public.a (x int, y int); CREATE TABLE public.b (x int, z int); \
                       CREATE VIEW public.v AS SELECT y FROM public.a;";

/// Sessions with different paths, and statements in each.
const STATEMENTS: usize = 200;

#[derive(Debug, Default)]
struct Tally {
    agreed: usize,
    own: usize,
    unknown: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

/// Writes statements.
struct Writer<'r>(&'r mut Random);

impl Writer<'_> {
    fn one<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.0.below(words.len())]
    }

    fn target(&mut self) -> String {
        let schema = self.one(&["", "", "", "", "", "", "pg_temp.", "public."]);
        format!("{schema}{}", self.one(NAMES))
    }

    fn columns(&mut self) -> String {
        let count = 1 + self.0.below(3);
        let kind = self.one(&["int", "text", "serial"]);
        let columns: Vec<String> =
            COLUMNS.iter().take(count).map(|column| format!("{column} {kind}")).collect();
        columns.join(", ")
    }

    fn query(&mut self) -> String {
        let from = self.target();
        match self.0.below(5) {
            0 => format!("SELECT * FROM {from}"),
            1 => format!("SELECT {} FROM {from}", self.one(COLUMNS)),
            2 => format!("SELECT {} AS {} FROM {from}", self.one(COLUMNS), self.one(COLUMNS)),
            3 => "SELECT 1 AS x, 2 AS z".to_owned(),
            _ => format!("SELECT q.* FROM (TABLE {from}) q"),
        }
    }

    fn make(&mut self) -> String {
        let temporary = self.one(&["", "TEMP ", "TEMP ", "TEMP ", "TEMPORARY ", "TEMP "]);
        let once = self.one(&["", "", "IF NOT EXISTS "]);
        let name = self.target();
        let end = if temporary.starts_with("TEMP") {
            self.one(&["", "", " ON COMMIT DROP", " ON COMMIT DELETE ROWS"])
        } else {
            ""
        };
        match self.0.below(8) {
            0 | 1 => format!("CREATE {temporary}TABLE {once}{name} ({}){end}", self.columns()),
            2 => format!("CREATE {temporary}TABLE {once}{name}{end} AS {}", self.query()),
            3 => format!("CREATE {temporary}TABLE {name} (LIKE {}, w int){end}", self.target()),
            4 => format!("CREATE {temporary}TABLE {name} () INHERITS ({}){end}", self.target()),
            5 => {
                let replace = self.one(&["", "OR REPLACE "]);
                let temporary = self.one(&["", "TEMP "]);
                format!("CREATE {replace}{temporary}VIEW {name} AS {}", self.query())
            }
            6 => {
                let temporary = self.one(&["", "TEMP "]);
                format!(
                    "SELECT {} INTO {temporary}{name} FROM {}",
                    self.one(COLUMNS),
                    self.target()
                )
            }
            _ => format!("CREATE {}SEQUENCE {once}{name}", self.one(&["", "TEMP "])),
        }
    }

    fn change(&mut self) -> String {
        let (name, column) = (self.target(), self.one(COLUMNS));
        match self.0.below(9) {
            0 => format!("ALTER TABLE {name} ADD {column} {}", self.one(&["int", "serial"])),
            1 => format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} int, ADD w text"),
            2 => format!("ALTER TABLE {name} DROP {column}{}", self.one(&["", "", " CASCADE"])),
            3 => format!("ALTER TABLE {name} RENAME {column} TO {}", self.one(COLUMNS)),
            4 => format!("ALTER TABLE {name} RENAME TO {}", self.one(NAMES)),
            5 => format!(
                "ALTER TABLE {name} ALTER {column} SET DEFAULT NULL, ALTER {column} SET NOT NULL"
            ),
            6 => format!("ALTER VIEW {name} RENAME TO {}", self.one(NAMES)),
            7 => format!("CREATE INDEX ON {name} ({column})"),
            _ => format!("ALTER TABLE IF EXISTS {name} DROP COLUMN IF EXISTS {column}"),
        }
    }

    fn drop(&mut self) -> String {
        let kind = self.one(&["TABLE", "TABLE", "VIEW", "SEQUENCE"]);
        let exists = self.one(&["", "IF EXISTS "]);
        let names = [self.target(), self.target()];
        let names = &names[..=self.0.below(2)];
        format!("DROP {kind} {exists}{}{}", names.join(", "), self.one(&["", " CASCADE"]))
    }

    fn control(&mut self) -> String {
        let savepoint = self.one(SAVEPOINTS);
        match self.0.below(12) {
            0..=2 => "BEGIN".to_owned(),
            3 => "COMMIT".to_owned(),
            4 => "ROLLBACK".to_owned(),
            5 | 6 => format!("SAVEPOINT {savepoint}"),
            7 | 8 => format!("ROLLBACK TO {savepoint}"),
            9 => format!("RELEASE {savepoint}"),
            10 => "SELECT 1/0".to_owned(),
            _ => self.one(&["DISCARD TEMP", "DISCARD ALL", "COMMIT AND CHAIN"]).to_owned(),
        }
    }

    fn statement(&mut self) -> String {
        match self.0.below(10) {
            0..=3 => self.make(),
            4 | 5 => self.change(),
            6 => self.drop(),
            _ => self.control(),
        }
    }

    /// Sometimes several at once; a failed transaction is left soon.
    fn submission(&mut self, status: u8) -> String {
        if status == b'E' && self.0.chance(70) {
            let savepoint = self.one(SAVEPOINTS);
            return match self.0.below(3) {
                0 => self.one(&["ROLLBACK", "COMMIT"]).to_owned(),
                _ => format!("ROLLBACK TO {savepoint}"),
            };
        }
        let count = if self.0.below(4) == 0 { 1 + self.0.below(3) } else { 1 };
        let statements: Vec<String> = (0..count).map(|_| self.statement()).collect();
        statements.join("; ")
    }
}

/// One session as the door would follow it.
struct Session {
    wire: Wire,
    path: Vec<String>,
    catalog: Catalog,
    timeline: Timeline,
    /// Something for everybody has changed and is not committed: nothing is known but that.
    unfollowed: bool,
    /// Something for everybody may be committed.
    dirty: bool,
    status: u8,
}

impl Session {
    fn context<'s>(&'s self, paths: &'s [Vec<String>]) -> Context<'s> {
        let known = Known::Catalog(&self.catalog);
        Context {
            search_paths: SearchPaths::Possible(paths),
            encoding: Encoding::Utf8,
            standard_conforming_strings: true,
            catalog: if self.unfollowed { Known::Stale } else { known },
            server_major: Some(self.catalog.major()),
            timeline: Some(&self.timeline),
            role: None,
            tenant_column: None,
        }
    }

    fn run(&mut self, text: &str) {
        let paths = [self.path.clone()];
        let analysis = sql::analyze(text.as_bytes(), &self.context(&paths));
        let steps: Vec<Option<Step>> = analysis
            .statements()
            .iter()
            .map(|one| one.effects().iter().find_map(sql::Effect::step).cloned())
            .collect();
        for step in steps.iter().flatten() {
            match step {
                Step::Made { extent: Extent::Followed, .. } => self.dirty = true,
                Step::Made { extent: Extent::Unfollowed, .. } => {
                    (self.dirty, self.unfollowed) = (true, true);
                }
                Step::Anything => {
                    self.timeline.distrust();
                    (self.dirty, self.unfollowed) = (true, true);
                }
                Step::Made { extent: Extent::Private, .. }
                | Step::Commit
                | Step::Rollback
                | Step::Savepoint(_)
                | Step::Release(_)
                | Step::RollbackTo(_)
                | Step::DiscardTemporary
                | Step::DiscardAll => {}
            }
        }
        let frames = self.wire.query(text).unwrap();
        let completed = frames.iter().filter(|frame| frame.tag == b'C');
        for (frame, step) in completed.zip(&steps) {
            match step {
                Some(Step::Commit) if frame.body == b"ROLLBACK\0" => {
                    self.timeline.take(&Step::Rollback);
                }
                Some(step) => self.timeline.take(step),
                None => {}
            }
        }
        self.ready(&frames);
    }

    fn ready(&mut self, frames: &[Frame]) {
        let erred = frames.iter().any(|frame| frame.tag == b'E');
        self.status = frames.last().unwrap().body[0];
        let status = match self.status {
            b'I' => Ready::Idle,
            b'T' => Ready::Open,
            _ => Ready::Failed,
        };
        self.timeline.ready(status, erred);
    }

    /// What we say a name means: its schema and columns.
    fn ours(&self, name: &str) -> Result<Option<(String, Vec<String>)>, Unknown> {
        let paths = [self.path.clone()];
        let text = format!("SELECT * FROM {name}");
        let analysis = sql::analyze(text.as_bytes(), &self.context(&paths));
        let facts = analysis.statements()[0].facts(&|_, _| None).into_owned();
        let columns = match facts.columns {
            Fact::Known(columns) => columns,
            Fact::Unknown(Unknown::NotInCatalog) => return Ok(None),
            Fact::Unknown(why) => return Err(why),
        };
        let own = columns.iter().filter(|used| used.relation == name && !used.reached);
        // A temporary view reads with our own rights, perhaps another relation of its name.
        let mut schemas: Vec<&str> = own.clone().map(|used| used.schema.as_str()).collect();
        schemas.sort_unstable();
        let schema = schemas.first().copied().unwrap_or_default().to_owned();
        let own = own.filter(|used| used.schema == schema);
        let mut names: Vec<String> =
            own.filter_map(|used| used.column.clone()).map(String::from).collect();
        names.sort();
        names.dedup();
        Ok(Some((schema, names)))
    }

    /// What the server says.
    fn theirs(&mut self, name: &str) -> Option<(String, Vec<String>)> {
        let ask = format!(
            "SELECT CASE WHEN n.nspname LIKE 'pg_temp%' THEN 'pg_temp' ELSE n.nspname END, \
             array_to_string(ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = c.oid \
             AND attnum > 0 AND NOT attisdropped ORDER BY attname), ',') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = to_regclass('{name}') AND c.relkind <> 'i'"
        );
        let frames = self.wire.query(&ask).unwrap();
        let row = frames.iter().find(|frame| frame.tag == b'D')?.row();
        let columns = row[1].split(',').filter(|name| !name.is_empty()).map(str::to_owned);
        Some((row[0].clone(), columns.collect()))
    }
}

#[test]
fn own_relations_are_what_the_server_says() {
    let rounds = usize::try_from(number("ORACLE_OWN", 3)).unwrap();
    let seed = number("ORACLE_SEED", 1);
    println!("ORACLE_SEED={seed} ORACLE_OWN={rounds}");
    let server = PgBox::start(&Options::default()).expect("PostgreSQL starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let load = |database: &str| {
        let config = server.conn_string(database).parse().unwrap();
        let snapshot = runtime.block_on(server::catalog::fetch(&config)).expect("it loads");
        Catalog::from_snapshot(snapshot).expect("it does not contradict itself")
    };
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    for round in 0..rounds {
        let database = format!("own{round}");
        server.create_database(&database).unwrap();
        server.admin(&database, FIXTURE).unwrap();
        let mut wire = server.wire(&database).unwrap();
        let path = [&["public"][..], &["pg_temp", "public"], &["public", "pg_temp"]][round % 3];
        wire.query(&format!("SET search_path = {}", path.join(", "))).unwrap();
        // RESET and DISCARD ALL keep it.
        wire.query(&format!("ALTER DATABASE {database} SET search_path = {}", path.join(", ")))
            .unwrap();
        drop(wire);
        let mut session = Session {
            wire: server.wire(&database).unwrap(),
            path: path.iter().map(|schema| (*schema).to_owned()).collect(),
            catalog: load(&database),
            timeline: Timeline::default(),
            unfollowed: false,
            dirty: false,
            status: b'I',
        };
        let mut history = Vec::new();
        for _ in 0..STATEMENTS {
            let text = Writer(&mut random).submission(session.status);
            session.run(&text);
            history.push(text);
            if session.status == b'I' && session.dirty {
                session.catalog = load(&database);
                (session.dirty, session.unfollowed) = (false, false);
            }
            if session.timeline.hides_temporary() && session.status == b'I' {
                session.run("DISCARD ALL");
                history.push("DISCARD ALL".to_owned());
            }
            compare(&mut session, &history, &mut tally);
            assert!(tally.wrong.is_empty(), "{}", tally.wrong[0]);
        }
        drop(session);
        server.admin("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
    }
    let unknown: usize = tally.unknown.values().sum();
    println!(
        "{} agreed ({} of them own), {unknown} unknown: {:?}",
        tally.agreed, tally.own, tally.unknown
    );
    assert!(tally.own * 20 > tally.agreed, "too few own relations to show anything");
    assert!(unknown * 2 < tally.agreed, "too much is unknown");
}

fn compare(session: &mut Session, history: &[String], tally: &mut Tally) {
    if session.status == b'E' {
        return;
    }
    for name in NAMES {
        let ours = session.ours(name);
        let theirs = session.theirs(name);
        match (ours, theirs) {
            (Ok(ours), theirs) if ours == theirs => {
                tally.agreed += 1;
                let own = theirs.is_some_and(|(schema, _)| schema == "pg_temp" || session.dirty);

                tally.own += usize::from(own);
            }
            // What we do not find is denied.
            (Ok(None), Some(_)) => *tally.unknown.entry("not in catalog").or_default() += 1,
            (Err(_), _) => *tally.unknown.entry("stale").or_default() += 1,
            (Ok(ours), theirs) => tally.wrong.push(format!(
                "{name}: ours {ours:?}, theirs {theirs:?} under {:?} after\n  {}",
                session.path,
                history.join(";\n  ")
            )),
        }
    }
}
