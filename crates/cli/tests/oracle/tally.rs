//! What was compared, and why some of it differs.

use std::collections::{BTreeMap, BTreeSet};

use policy::Reason;

use crate::server_side::Oracle;
use crate::world::World;

/// One reason of a denial.
#[derive(Debug, Clone)]
pub(crate) struct Why {
    code: String,
    /// What it is about: a function or table.
    about: String,
    /// The function that does it, if it is not the statement itself.
    by: Option<String>,
}

impl Why {
    pub(crate) fn of(reason: &Reason) -> Self {
        let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let suggestion = reason.suggestion();
        let by = suggestion.split_once("` does this").map(|(name, _)| bare(name));
        // An aggregate does what its function does.
        let by = by.map(|name| if name == "agg" { "step".to_owned() } else { name });
        Self {
            code: reason.code().to_string(),
            about: reason.table().or(reason.detail()).unwrap_or_default().to_owned(),
            by,
        }
    }

    /// Why the server may permit what is denied for this; `None` if there is no good reason.
    fn explained(&self, compared: &Compared<'_>, plan: &str) -> Option<&'static str> {
        let world = compared.world;
        if let Some(by) = &self.by {
            if compared.refused.contains(by) {
                return Some("a function that the server refuses when it runs did not run");
            }
            let why = "a function reaches one that the server refuses, and did not run it";
            return compared.reaching.contains(by).then_some(why);
        }
        if self.code == "blocked_function" {
            return Some("the function is blocked for everybody");
        }
        if ["pg_catalog.", "information_schema."].iter().any(|own| self.about.starts_with(own)) {
            return Some("a relation of the server's own, which no list names");
        }
        let bare = self.about.rsplit('.').next().unwrap_or_default();
        let unread = self.code.starts_with("unknown_");
        let mut routines = world.routines.iter();
        if unread && routines.any(|one| one.name == bare) {
            return Some("opaque, denied: code in another language than SQL is not read");
        }
        if unread && self.about == "stale_catalog" && !world.has_bodies {
            return Some("opaque, denied: what is not read may have defined anything");
        }
        if compared.text.starts_with("PREPARE ") && bare == self.about {
            return Some("what is prepared may be planned again under another search path");
        }
        let is_function = unread || self.code.starts_with("function_");
        let named = if is_function {
            plan.contains(&spelling(bare))
        } else {
            let aliases = aliases(compared.text, bare);
            aliases.iter().any(|alias| is_scanned(plan, &self.about, alias))
        };
        (!plan.is_empty() && !named).then_some("the server's plan leaves it out")
    }
}

/// How a statement, a plan or a body that calls it shows that.
pub(crate) fn spelling(function: &str) -> String {
    match function {
        "near" => "<~".to_owned(),
        "to_pair" => "app.pair".to_owned(),
        "to_words" => "::text".to_owned(),
        "within" => "app.small".to_owned(),
        "step" => "agg(".to_owned(),
        other => format!("{other}("),
    }
}

/// What a text calls a table: its own name, or the word after it.
fn aliases(text: &str, table: &str) -> Vec<String> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let mut found = vec![table.to_owned()];
    for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == table) {
        let mut rest = words.iter().skip(at + 1).filter(|word| **word != "AS");
        found.extend(rest.next().map(|word| (*word).to_owned()));
    }
    found
}

/// Whether a plan reads a table by this name.
fn is_scanned(plan: &str, table: &str, alias: &str) -> bool {
    let whole = table.rsplit('.').next() == Some(alias);
    let shown = if whole { format!("on {table}") } else { format!("on {table} {alias}") };
    let mut rests = plan.split(&shown).skip(1);
    rests.any(|rest| {
        if whole { rest.starts_with(['\n']) } else { !rest.starts_with(char::is_alphanumeric) }
    })
}

/// A statement, and where it was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared<'a> {
    pub(crate) world: &'a World,
    /// Functions that the server refuses when they run.
    pub(crate) refused: &'a BTreeSet<String>,
    /// Those that may call one of them.
    pub(crate) reaching: &'a BTreeSet<String>,
    pub(crate) text: &'a str,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    permitted: usize,
    refused: usize,
    invalid: usize,
    /// Failed when run, for another reason than a privilege.
    failed: usize,
    /// Refused by the server within a function.
    within: usize,
    /// Refused by the server, allowed by us.
    holes: Vec<String>,
    /// Permitted by the server, refused by us for a reason that can be told.
    explained: BTreeMap<String, usize>,
    /// Permitted by the server, refused by us.
    losses: BTreeMap<String, Vec<String>>,
}

impl Tally {
    pub(crate) const fn compared(&self) -> usize {
        self.permitted + self.refused
    }

    pub(crate) fn add(
        &mut self,
        compared: &Compared<'_>,
        oracle: Oracle,
        ours: Result<(), Vec<Why>>,
    ) {
        let (world, text) = (compared.world, compared.text);
        match (oracle, ours) {
            (Oracle::Invalid(_), _) => self.invalid += 1,
            (Oracle::Fails(_), _) => self.failed += 1,
            (Oracle::Permits(_), Ok(())) => self.permitted += 1,
            (Oracle::Refuses { context, .. }, Err(_)) => {
                self.refused += 1;
                self.within += usize::from(context.contains("function"));
            }
            (Oracle::Refuses { message, context }, Ok(())) => {
                self.refused += 1;
                let shown = format!(
                    "{text}\n    {message}\n    {context}\n{}",
                    world.told(&(text.to_owned() + &context))
                );
                self.holes.push(shown);
            }
            (Oracle::Permits(plan), Err(why)) => {
                self.permitted += 1;
                let reasons: Option<BTreeSet<&str>> =
                    why.iter().map(|one| one.explained(compared, &plan)).collect();
                if let Some(reasons) = reasons {
                    let reasons: Vec<&str> = reasons.into_iter().collect();
                    *self.explained.entry(reasons.join("; ")).or_default() += 1;
                    return;
                }
                let codes: Vec<&str> = why.iter().map(|one| one.code.as_str()).collect();
                let shown = format!("{text}\n    {why:?}\n{}", world.told(text));
                self.losses.entry(codes.join(" ")).or_default().push(shown);
            }
        }
    }

    fn lost(&self) -> usize {
        self.losses.values().map(Vec::len).sum()
    }

    pub(crate) fn print(&self) {
        let explained: usize = self.explained.values().sum();
        println!(
            "{} compared: {} permitted, {} refused ({} of them within a function); {} invalid, {} \
             failed; {} holes; {} losses, {explained} exceptions",
            self.compared(),
            self.permitted,
            self.refused,
            self.within,
            self.invalid,
            self.failed,
            self.holes.len(),
            self.lost(),
        );
        for (why, count) in &self.explained {
            println!("exception, {count}: {why}");
        }
        for (why, statements) in &self.losses {
            println!("lost {} for {why}, for example:\n    {}", statements.len(), statements[0]);
        }
    }

    /// Fails if something was overlooked.
    pub(crate) fn check_holes(&self) {
        assert!(self.holes.is_empty(), "allowed without privilege:\n{}", self.holes.join("\n\n"));
    }

    /// Fails if something was overlooked, or too much was lost.
    pub(crate) fn check(&self) {
        let compared = self.compared();
        assert!(self.refused * 5 > compared, "the grants refuse too little to show anything");
        assert!(self.permitted * 5 > compared, "the grants permit too little to show anything");
        self.check_holes();
        assert!(self.lost() * 200 <= self.permitted, "more than 0.5% of what is permitted is lost");
    }
}
