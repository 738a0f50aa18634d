//! `policy show`: what an agent may do, as the policy answers when it is asked.
//!
//! Nothing is read out of the document: every line is a decision about a statement of that kind
//! which names no relation, function or setting.

use std::collections::BTreeMap;
use std::io::Write;

use model::{
    Door, Fact, Operation, Principal, Proof, Request, SERVER_MAJORS, SqlFacts, Stage,
    TransactionStep,
};
use policy::{Mode, Policy};

use super::Answer;
use crate::args::ShowArgs;
use crate::config::suggest::closest;
use crate::output::{self, Color, Style, printable};
use crate::policy_file;

/// Runs it.
pub(crate) fn run(args: &ShowArgs, style: Style) -> anyhow::Result<Answer> {
    let loaded = policy_file::load(&args.file)?;
    let principal = Principal {
        agent: Some(args.agent.clone()),
        mission: args.mission.clone(),
        proof: Proof::Asserted,
        ..Principal::unidentified()
    };
    let listed = loaded.policy.agents();
    if !listed.contains(&args.agent.as_str()) {
        let near = closest(&args.agent, listed.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        output::complain(format_args!("agent `{}` is not listed{hint}", args.agent));
    }
    let answers = ask(&loaded.policy, &principal);
    let mut out = output::stdout();
    writeln!(out, "{}", style.paint(Color::Bold, printable(&principal.label())))?;
    writeln!(out, "policy {}", loaded.policy.digest())?;
    let mode = match loaded.policy.mode_for(&principal) {
        Mode::Enforce => "enforce: what is denied is refused",
        Mode::Observe => "observe: what is denied is recorded and forwarded",
    };
    writeln!(out, "{mode}")?;
    for (answer, operations) in &answers {
        let (label, color) = match answer {
            None => ("may", Color::Green),
            Some(_) => ("may not", Color::Red),
        };
        let why = answer.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        writeln!(out, "\n{}{}", style.paint(color, label), printable(&why))?;
        for line in operations.chunks(6) {
            writeln!(out, "  {}", line.join(", "))?;
        }
    }
    writeln!(out)?;
    if answers.contains_key(&None) {
        for line in loaded.policy.bounds(&principal) {
            writeln!(out, "{}", printable(&line))?;
        }
    } else {
        writeln!(out, "it may do nothing but end a transaction")?;
    }
    out.flush()?;
    Ok(Answer::Clean)
}

/// Operations by what denies them; what is allowed comes first.
fn ask(policy: &Policy, principal: &Principal) -> BTreeMap<Option<String>, Vec<&'static str>> {
    let mut answers: BTreeMap<Option<String>, Vec<&'static str>> = BTreeMap::new();
    for operation in Operation::ALL.iter().copied().filter(|one| *one != Operation::Unknown) {
        let facts = SqlFacts {
            transaction: (operation == Operation::Transaction).then_some(TransactionStep::Begin),
            columns: Fact::Known(Vec::new()),
            calls: Fact::Known(Vec::new()),
            ..SqlFacts::of(operation)
        };
        let decision = decide(policy, principal, &facts);
        let why = (!decision.is_allowed()).then(|| {
            let codes: Vec<&str> =
                decision.reasons().iter().map(|reason| reason.code().as_str()).collect();
            codes.join(", ")
        });
        answers.entry(why).or_default().push(operation.name());
    }
    answers
}

fn decide(policy: &Policy, principal: &Principal, facts: &SqlFacts) -> policy::Decision {
    policy.evaluate(&Request {
        principal,
        door: Door::Check,
        stage: Stage::Query,
        server_major: Some(*SERVER_MAJORS.end()),
        facts,
    })
}
