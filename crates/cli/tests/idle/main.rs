//! What an idle session costs: memory of the door with many idle sessions, less what it needs
//! without them, for each of them.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use testkit::{Options, PgBox, Proxy, ProxyOptions, Wire};

    const SESSIONS: usize = 200;
    /// What the project aims at.
    const AIM: usize = 64 * 1024;

    const POLICY: &str = "version: \"2\"\ndefault_policy: deny\nagents:\n  idle:\n    \
                          blocked_tables: [public.secret]\n";

    /// Private memory of a process in bytes: what would be given back if it ended.
    fn memory(process: u32) -> usize {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
        let private = text.lines().filter(|line| line.starts_with("Private_"));
        let kilobytes =
            private.map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap());
        kilobytes.sum::<usize>() * 1024
    }

    fn sessions(door: &Proxy, count: usize, statements: usize) -> Vec<Wire> {
        let mut wires: Vec<Wire> = (0..count)
            .map(|_| door.wire("postgres", "postgres", "agent:idle:mission:none").unwrap())
            .collect();
        for wire in &mut wires {
            for number in 0..statements {
                wire.query(&format!("SELECT {number}, repeat('x', 1000)")).unwrap();
            }
        }
        // A session gives its buffers back when it has nothing to do.
        std::thread::sleep(Duration::from_millis(200));
        wires
    }

    #[test]
    fn an_idle_session_is_small() {
        let options =
            Options { settings: vec!["max_connections = 250".to_owned()], ..Options::default() };
        let pg = PgBox::start(&options).unwrap();
        for statements in [0, 1, 20] {
            measure(&pg, statements);
        }
    }

    /// With a door of its own: what sessions gave back is not always the system's again.
    fn measure(pg: &PgBox, statements: usize) {
        let door = Proxy::start(&ProxyOptions {
            binary: env!("CARGO_BIN_EXE_portcullis").into(),
            upstream: format!("127.0.0.1:{}", pg.port),
            policy: POLICY.to_owned(),
            arguments: ["--admin", "off", "--view", "off"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
        })
        .unwrap();
        // What is allocated once, whoever comes.
        drop(sessions(&door, 1, statements));
        let without = memory(door.process());
        let wires = sessions(&door, SESSIONS, statements);
        let with = memory(door.process());
        let each = with.saturating_sub(without) / SESSIONS;
        println!(
            "{} idle sessions after {statements} statements each: {} KiB more than {} KiB, {each} \
             bytes each (aim: {AIM})",
            wires.len(),
            with.saturating_sub(without) / 1024,
            without / 1024
        );
        // Twice the aim is a mistake, not noise.
        assert!(each < 2 * AIM, "{each} bytes");
    }
}
