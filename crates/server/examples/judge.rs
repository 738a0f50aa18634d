//! Judges one of a few statements again and again: what `scripts/bench/instructions.sh` counts.
//!
//! usage: judge CATALOG POLICY NAME COUNT

use std::error::Error;

use model::{Door, Principal, Request, Stage};
use policy::Policy;
use sql::catalog::{Catalog, Snapshot};
use sql::{Context, Encoding, Known, SearchPaths};

/// What is judged, by name.
const STATEMENTS: &[(&str, &str)] = &[
    ("select", "SELECT abalance FROM pgbench_accounts WHERE aid = 7;"),
    ("prepared", "SELECT abalance FROM pgbench_accounts WHERE aid = $1;"),
    (
        "join",
        "SELECT b.bid, t.tid, count(*), sum(h.delta) FROM pgbench_accounts a JOIN pgbench_branches b ON a.bid = b.bid \
         JOIN pgbench_tellers t ON t.bid = b.bid LEFT JOIN pgbench_history h ON h.aid = a.aid \
         WHERE a.abalance > 100 AND b.bid IN (1, 2, 3) AND h.mtime > '2026-01-01' \
         GROUP BY b.bid, t.tid HAVING sum(h.delta) > 5 ORDER BY 4 DESC LIMIT 20",
    ),
    (
        "insert",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, CURRENT_TIMESTAMP)",
    ),
    ("update", "UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 7"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [catalog, policy, name, count] = arguments.as_slice() else {
        return Err("usage: judge CATALOG POLICY NAME COUNT".into());
    };
    let snapshot: Snapshot = serde_json::from_str(&std::fs::read_to_string(catalog)?)?;
    let catalog = Catalog::from_snapshot(snapshot)?;
    let server_major = catalog.major();
    let text = std::fs::read_to_string(policy)?;
    let policy = Policy::load(policy, &text).map_err(|found| found.to_string())?.policy;
    let (_, sql) = STATEMENTS.iter().find(|(known, _)| known == name).ok_or("no such statement")?;
    let paths = [vec!["public".to_owned()]];
    let context = Context {
        search_paths: SearchPaths::Possible(&paths),
        encoding: Encoding::Utf8,
        standard_conforming_strings: true,
        catalog: Known::Catalog(&catalog),
        tenant_column: policy.tenant_column(),
        timeline: None,
        role: None,
        server_major: Some(server_major),
    };
    let principal = Principal::asserted("agent:bench");
    let mut allowed = 0_u32;
    let count: u32 = count.parse()?;
    for _ in 0..count {
        let analysis = sql::analyze(sql.as_bytes(), &context);
        for statement in analysis.statements() {
            let facts = statement.facts(&|_, _| None);
            let request = Request {
                principal: &principal,
                door: Door::Pg,
                stage: Stage::Query,
                server_major: Some(server_major),
                facts: &facts,
            };
            let decision = policy.evaluate(&request);
            if let Some(reason) = decision.reasons().first() {
                return Err(format!("denied: {reason}").into());
            }
            allowed += 1;
        }
    }
    if allowed == count { Ok(()) } else { Err(format!("{allowed} of {count} allowed").into()) }
}
