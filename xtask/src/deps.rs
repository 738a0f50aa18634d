//! The direction of dependencies: ARCHITECTURE.md's arrows, as an exact list.
//!
//! Invariant: a dependency between our crates that is not listed here fails, and so does tokio
//! anywhere below a pure crate. Tests may use more (dev-dependencies), but not upwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::{Checked, output};

/// Which of our crates each of our crates may use.
const ARROWS: [(&str, &[&str]); 11] = [
    ("portcullis-model", &[]),
    ("portcullis-pgwire", &[]),
    ("portcullis-testkit", &[]),
    ("xtask", &[]),
    ("portcullis-policy", &["portcullis-model"]),
    ("portcullis-sql", &["portcullis-model"]),
    ("portcullis-mcp", &["portcullis-model"]),
    ("portcullis-audit", &["portcullis-policy", "portcullis-model"]),
    ("portcullis-monitor", &["portcullis-audit", "portcullis-policy", "portcullis-model"]),
    (
        "portcullis-server",
        &[
            "portcullis-sql",
            "portcullis-mcp",
            "portcullis-audit",
            "portcullis-policy",
            "portcullis-pgwire",
            "portcullis-model",
        ],
    ),
    (
        "portcullis",
        &[
            "portcullis-server",
            "portcullis-monitor",
            "portcullis-audit",
            "portcullis-policy",
            "portcullis-sql",
            "portcullis-mcp",
            "portcullis-model",
        ],
    ),
];

/// What tests may use beyond that.
const TEST_ARROWS: [(&str, &[&str]); 2] =
    [("portcullis", &["portcullis-testkit"]), ("portcullis-server", &["portcullis-testkit"])];

/// Crates that do no input or output (invariant `pure_crates_stay_pure`).
pub(crate) const PURE: [&str; 5] = [
    "portcullis-model",
    "portcullis-policy",
    "portcullis-sql",
    "portcullis-pgwire",
    "portcullis-mcp",
];

/// What no pure crate has anywhere below it.
const IMPURE: [&str; 5] = ["tokio", "async-std", "smol", "mio", "socket2"];

/// Most packages in Cargo.lock. Raise it in the commit that needs it, and say why there.
const PACKAGE_BUDGET: usize = 260;

/// Checks arrows, purity of dependency trees and the package budget.
pub(crate) fn check(workspace: &Path) -> Checked {
    let text = output(workspace, "cargo", &["metadata", "--format-version", "1", "--locked"])?;
    let metadata = serde_json::from_str::<Value>(&text).map_err(|cause| cause.to_string())?;
    let graph = Graph::read(&metadata)?;
    let mut findings = graph.arrows();
    findings.extend(graph.impure());
    let packages = graph.names.len();
    if packages > PACKAGE_BUDGET {
        findings.push(format!("{packages} packages in Cargo.lock, the budget is {PACKAGE_BUDGET}"));
    }
    Ok(findings)
}

/// Packages by id, and who uses whom how.
struct Graph {
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    normal: BTreeMap<String, BTreeSet<String>>,
    dev: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Result<Self, String> {
        let mut graph = Self {
            names: BTreeMap::new(),
            members: strings(metadata.get("workspace_members")).collect(),
            normal: BTreeMap::new(),
            dev: BTreeMap::new(),
        };
        for package in list(metadata.get("packages")) {
            graph.names.insert(string(package, "id")?, string(package, "name")?);
        }
        for node in list(metadata.pointer("/resolve/nodes")) {
            let from = string(node, "id")?;
            for dependency in list(node.get("deps")) {
                let to = string(dependency, "pkg")?;
                for kind in list(dependency.get("dep_kinds")) {
                    let edges = match kind.get("kind").and_then(Value::as_str) {
                        Some("dev") => &mut graph.dev,
                        // Code that runs while building is not in the result.
                        Some("build") => continue,
                        Some(_) | None => &mut graph.normal,
                    };
                    edges.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        Ok(graph)
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    fn arrows(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for member in &self.members {
            let from = self.name(member);
            let Some(allowed) = find(&ARROWS, from) else {
                findings.push(format!("`{from}` is not in xtask's list of arrows"));
                continue;
            };
            let more = find(&TEST_ARROWS, from).unwrap_or_default();
            for to in self.ours(&self.normal, member).filter(|to| !allowed.contains(to)) {
                findings.push(format!("`{from}` may not use `{to}`"));
            }
            let in_tests = self.ours(&self.dev, member);
            for to in in_tests.filter(|to| !allowed.contains(to) && !more.contains(to)) {
                findings.push(format!("`{from}` may not use `{to}`, not even in tests"));
            }
        }
        findings
    }

    fn ours<'a>(
        &'a self,
        edges: &'a BTreeMap<String, BTreeSet<String>>,
        from: &str,
    ) -> impl Iterator<Item = &'a str> {
        let all = edges.get(from).into_iter().flatten();
        all.filter(|to| self.members.contains(*to)).map(|to| self.name(to))
    }

    fn impure(&self) -> Vec<String> {
        let pure = self.members.iter().filter(|member| PURE.contains(&self.name(member)));
        let mut findings = Vec::new();
        for member in pure {
            let mut seen = BTreeSet::new();
            let mut open = vec![member];
            while let Some(id) = open.pop() {
                if seen.insert(id) {
                    open.extend(self.normal.get(id).into_iter().flatten());
                }
            }
            let names = seen.into_iter().map(|id| self.name(id));
            for name in names.filter(|name| IMPURE.contains(name)) {
                findings.push(format!("`{}` is pure and may not use `{name}`", self.name(member)));
            }
        }
        findings
    }
}

fn find<'a>(arrows: &[(&str, &'a [&'a str])], from: &str) -> Option<&'a [&'a str]> {
    arrows.iter().find(|(name, _)| *name == from).map(|(_, to)| *to)
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = String> {
    list(value).filter_map(Value::as_str).map(str::to_owned)
}

fn string(value: &Value, key: &str) -> Result<String, String> {
    let found = value.get(key).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("cargo metadata has no `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let names = edges.iter().flat_map(|(from, to)| [*from, *to]).collect::<BTreeSet<_>>();
        let ours = |name: &&str| name.starts_with("portcullis");
        let mut graph = Graph {
            names: names.iter().map(|n| ((*n).to_owned(), (*n).to_owned())).collect(),
            members: names.iter().filter(|n| ours(n)).map(|n| (*n).to_owned()).collect(),
            normal: BTreeMap::new(),
            dev: BTreeMap::new(),
        };
        for (from, to) in edges {
            graph.normal.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn an_arrow_that_is_listed_passes_and_its_reverse_does_not() {
        assert!(graph(&[("portcullis-sql", "portcullis-model")]).arrows().is_empty());
        let findings = graph(&[("portcullis-model", "portcullis-sql")]).arrows();
        assert_eq!(findings, ["`portcullis-model` may not use `portcullis-sql`"]);
    }

    #[test]
    fn pure_crates_stay_pure() {
        assert!(graph(&[("portcullis-server", "tokio")]).impure().is_empty());
        let findings = graph(&[("portcullis-sql", "glue"), ("glue", "tokio")]).impure();
        assert_eq!(findings, ["`portcullis-sql` is pure and may not use `tokio`"]);
    }
}
