//! Judges one of a few statements again and again: what `scripts/bench/instructions.sh` counts. It is the code
//! that the door runs: [`server::Cache`] for the text, [`server::Proved`] for the decision.
//!
//! usage: judge CATALOG POLICY NAME first|seen COUNT
//!
//! `first`: under another reading of the session each time, so that nothing of before counts. `seen`: under one.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use model::{Principal, Stage};
use policy::Policy;
use server::{Asked, Cache, InForce};
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
    let [catalog, policy, name, sight, count] = arguments.as_slice() else {
        return Err("usage: judge CATALOG POLICY NAME first|seen COUNT".into());
    };
    let step = match sight.as_str() {
        "first" => 1,
        "seen" => 0,
        _ => return Err("a text is seen `first`, or was `seen` before".into()),
    };
    let snapshot: Snapshot = serde_json::from_str(&std::fs::read_to_string(catalog)?)?;
    let catalog = Catalog::from_snapshot(snapshot)?;
    let server_major = catalog.major();
    let text = std::fs::read_to_string(policy)?;
    let policy = Policy::load(policy, &text).map_err(|found| found.to_string())?.policy;
    let in_force = Arc::new(InForce::new(policy));
    let (_, sql) = STATEMENTS.iter().find(|(known, _)| known == name).ok_or("no such statement")?;
    let paths = [vec!["public".to_owned()]];
    let context = Context {
        search_paths: SearchPaths::Possible(&paths),
        encoding: Encoding::Utf8,
        standard_conforming_strings: true,
        catalog: Known::Catalog(&catalog),
        tenant_column: in_force.tenant_column(),
        timeline: None,
        role: None,
        server_major: Some(server_major),
    };
    let who = Arc::new(Principal::asserted("agent:bench"));
    let asked = Asked { who: &who, in_force: &in_force };
    let mut cache = <Cache>::default();
    let mut epoch = 0;
    for _ in 0..count.parse()? {
        epoch += step;
        let text = black_box(sql.as_bytes());
        let sight = cache.sight(text, epoch, |text| sql::analyze(text, &context));
        let proved = sight.proved().ok_or("it refers to names")?;
        let decision = proved.decision(asked, Stage::Query, Some(server_major));
        if let Some(reason) = decision.reasons().first() {
            return Err(format!("denied: {reason}").into());
        }
    }
    Ok(())
}
