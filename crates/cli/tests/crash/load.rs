//! Agents that are busy: each statement has a text of its own.

use std::thread::JoinHandle;

use testkit::wire::{bind, execute, parse, query, sync};
use testkit::{Random, Trouble, Wire};

/// Permits everything but one table.
pub(crate) const POLICY: &str =
    "version: \"2\"\ndefault_policy: deny\nagents:\n  busy:\n    blocked_tables: [public.secret]\n";
pub(crate) const AGENT: &str = "agent:busy:mission:none";

/// Logs in through a door.
pub(crate) fn wire(port: u16) -> Result<Wire, Trouble> {
    let parameters = [("user", "postgres"), ("database", "postgres"), ("application_name", AGENT)];
    Wire::login(port, &parameters)
}

/// Starts an agent; it works until the door is gone and gives the number of its statements.
pub(crate) fn agent(port: u16, name: usize, seed: u64) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut random = Random::new(seed);
        let mut sent = 0;
        // The door being killed is how this ends.
        drop(work(port, name, &mut random, &mut sent));
        sent
    })
}

fn work(port: u16, name: usize, random: &mut Random, sent: &mut usize) -> Result<(), Trouble> {
    let mut wire = wire(port)?;
    loop {
        let mut bytes = Vec::new();
        let mut answers = 0;
        for _ in 0..=random.below(8) {
            let text = format!("SELECT 'a{name}n{sent}', {:?}", random.below(1 << 20).to_string())
                .replace('"', "'");
            *sent += 1;
            if random.chance(50) {
                bytes.extend(query(&text));
            } else {
                bytes.extend(parse("", &text, &[]));
                bytes.extend(bind("", "", &[]));
                bytes.extend(execute("", 0));
                if random.chance(40) {
                    bytes.extend(execute("", 0));
                }
                bytes.extend(sync());
            }
            answers += 1;
        }
        wire.send(&bytes)?;
        for _ in 0..answers {
            wire.until_ready()?;
        }
    }
}
