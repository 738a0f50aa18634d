//! Refusals are indistinguishable from errors that the server raises itself.
//!
//! The same random pipeline runs through the door, where one of its statements is denied, and
//! directly on the same server, where a syntax error stands in the denied statement's place (in a
//! failed transaction: an ordinary statement). Every message and every row has to be the same, but
//! for the words of that one error.
//!
//! `PORTCULLIS_PIPELINES` sets how many pipelines run, `PORTCULLIS_SEED` the first seed.

#[cfg(test)]
mod pipeline;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use testkit::wire::{parse, query, sync, tags, terminate};
    use testkit::{Frame, Options, PgBox, Proxy, ProxyOptions, Random, Trouble, Wire};

    use super::pipeline::{FENCE_ANSWERS, MARKER, Message, NO_FUNCTION, Pipeline, fence};

    const POLICY: &str = "version: \"2\"\ndefault_policy: deny\nagents:\n  tester:\n    \
                          blocked_operations: [DROP]\n    blocked_tables: [public.secret]\n";
    const AGENT: &str = "agent:tester:mission:none";
    const PIPELINES: u64 = 250;

    /// What became of one pipeline on one side.
    #[derive(Debug, PartialEq, Eq)]
    struct Outcome {
        answers: Vec<String>,
        table: String,
    }

    /// Which of a denied message's three forms is sent.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Form {
        Denied,
        Error,
        Ordinary,
    }

    struct Stage {
        pg: PgBox,
        door: Proxy,
        keeper: Wire,
    }

    const REFUSED: &str = "E refused";
    const UNKNOWN_NAME: &str = "E unknown name";
    const NO_COPY_DATA: &str = "Munexpected message type";
    const FAILED_TRANSACTION: &str = "C25P02";

    fn start() -> Stage {
        let pg = PgBox::start(&Options::default()).unwrap();
        pg.admin("postgres", "CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
        pg.admin("postgres", "CREATE TABLE secret (id int)").unwrap();
        let door = Proxy::start(&ProxyOptions {
            binary: env!("CARGO_BIN_EXE_portcullis").into(),
            upstream: format!("127.0.0.1:{}", pg.port),
            policy: POLICY.to_owned(),
            arguments: ["--admin", "off", "--view", "off", "--payload", "full"]
                .map(str::to_owned)
                .to_vec(),
            environment: Vec::new(),
        })
        .unwrap();
        let keeper = pg.wire("postgres").unwrap();
        Stage { pg, door, keeper }
    }

    impl Stage {
        fn wire(&self, form: Form) -> Result<Wire, Trouble> {
            let port = if form == Form::Denied { self.door.port } else { self.pg.port };
            let parameters =
                [("user", "postgres"), ("database", "postgres"), ("application_name", AGENT)];
            Wire::login(port, &parameters)
        }

        fn run(&mut self, pipeline: &Pipeline, form: Form) -> Result<Outcome, Trouble> {
            self.keeper.query(
                "TRUNCATE t; INSERT INTO t SELECT g, 'seed' FROM generate_series(0, 5) g; \
                 TRUNCATE secret",
            )?;
            let mut wire = self.wire(form)?;
            let mut answers = Vec::new();
            let mut chunks = pipeline.chunked.then(|| Random::new(pipeline.seed));
            for turn in &pipeline.turns {
                let mut bytes: Vec<u8> =
                    turn.iter().flatten().flat_map(|each| in_form(each, form)).copied().collect();
                bytes.extend(fence());
                send(&mut wire, &bytes, chunks.as_mut())?;
                if !until_fence(&mut wire, &mut answers)? {
                    answers.push("closed".to_owned());
                    break;
                }
            }
            // The server ends an open transaction when it reads this; its closing says it has.
            if wire.send(&terminate()).is_ok() {
                answers.extend(wire.until_closed()?.iter().map(shown));
            }
            let rows = self.keeper.query(
                "SELECT 't', id, v FROM t UNION ALL SELECT 'secret', id, NULL FROM secret \
                 ORDER BY 1, 2, 3",
            )?;
            let rows = rows.iter().filter(|frame| frame.tag == b'D');
            let table = rows.map(|frame| frame.row().join("|") + "\n").collect();
            Ok(Outcome { answers, table })
        }

        /// What is wrong, if anything is.
        fn check(&mut self, pipeline: &Pipeline) -> Option<String> {
            let mut sides = Vec::new();
            for form in [Form::Denied, Form::Error, Form::Ordinary] {
                match self.run(pipeline, form) {
                    Ok(outcome) => sides.push(outcome),
                    Err(trouble) => return Some(format!("{form:?}: {trouble}")),
                }
            }
            let [door, error, ordinary] = sides.as_slice() else { return None };
            if ordinary.answers.iter().any(|answer| answer.contains(NO_COPY_DATA)) {
                // The client broke COPY; the server names the byte that it found instead of data.
                return None;
            }
            if !door.answers.iter().any(|answer| answer == REFUSED) {
                return difference(door, ordinary);
            }
            // Had the transaction failed by then, an ordinary statement would have been told so,
            // and nothing else would be different.
            let hidden = |door: &str, ordinary: &str| {
                door == REFUSED && ordinary.contains(FAILED_TRANSACTION)
            };
            let both = || door.answers.iter().zip(&ordinary.answers);
            let alike = door.answers.len() == ordinary.answers.len()
                && door.table == ordinary.table
                && both().all(|(door, ordinary)| same(door, ordinary) || hidden(door, ordinary));
            if alike && both().any(|(door, ordinary)| hidden(door, ordinary)) {
                return Some("refused with its own error in a failed transaction".to_owned());
            }
            difference(door, error)
        }

        fn shrink(&mut self, pipeline: Pipeline, said: String) -> (Pipeline, String) {
            let (mut smallest, mut said) = (pipeline, said);
            'again: for _ in 0..60 {
                for smaller in smallest.smaller().collect::<Vec<_>>() {
                    if let Some(still) = self.check(&smaller) {
                        (smallest, said) = (smaller, still);
                        continue 'again;
                    }
                }
                break;
            }
            (smallest, said)
        }
    }

    fn in_form(message: &Message, form: Form) -> &[u8] {
        match (&message.denied, form) {
            (None, _) | (Some(_), Form::Denied) => &message.bytes,
            (Some(stands_for), Form::Error) => &stands_for.error,
            (Some(stands_for), Form::Ordinary) => &stands_for.ordinary,
        }
    }

    fn send(wire: &mut Wire, bytes: &[u8], chunks: Option<&mut Random>) -> Result<(), Trouble> {
        let Some(random) = chunks else { return wire.send(bytes) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(9)).min(rest.len()));
            wire.send(piece)?;
            rest = after;
        }
        Ok(())
    }

    /// Whether the fence was reached; otherwise the server closed.
    fn until_fence(wire: &mut Wire, answers: &mut Vec<String>) -> Result<bool, Trouble> {
        let mut closed = 0;
        loop {
            let frame = match wire.frame() {
                Ok(frame) => frame,
                Err(trouble) if trouble.is_closed() => return Ok(false),
                Err(trouble) => {
                    let doing = format!("after {answers:?}: {trouble}");
                    return Err(Trouble::new(doing));
                }
            };
            answers.push(shown(&frame));
            match frame.tag {
                b'3' => closed += 1,
                b'Z' if closed >= FENCE_ANSWERS => return Ok(true),
                _ => closed = 0,
            }
        }
    }

    /// A frame to the last byte, but for what has to be different.
    fn shown(frame: &Frame) -> String {
        let said = frame.field(b'M').unwrap_or_default();
        let refused = said.contains(MARKER) || said.contains(&NO_FUNCTION.to_string());
        match frame.sqlstate().as_str() {
            "42501" if said.starts_with("[BLOCKED by Portcullis] unresolved_name") => {
                UNKNOWN_NAME.to_owned()
            }
            "42501" if said.starts_with("[BLOCKED by Portcullis] ") => {
                let detail = frame.field(b'D').unwrap_or_default();
                assert!(detail.starts_with("Recorded as "), "{detail}");
                REFUSED.to_owned()
            }
            "42601" | "42883" if refused => REFUSED.to_owned(),
            // Where in the server it was raised is the only other thing in it.
            "25P02" => format!("E {FAILED_TRANSACTION}"),
            _ => format!("{} {}", char::from(frame.tag), frame.body.escape_ascii()),
        }
    }

    /// A name that only the server could know is denied; the server says that it does not exist.
    fn same(door: &str, direct: &str) -> bool {
        let missing = direct.contains("C26000") || direct.contains("C34000");
        door == direct
            || door == UNKNOWN_NAME && missing
            || alike(door, direct)
            || no_portal(door) && direct.contains(FAILED_TRANSACTION)
            || no_portal(direct) && door.contains(FAILED_TRANSACTION)
    }

    /// Whether a failed query leaves an unnamed portal, which no Execute can run, depends on how
    /// far it got: nobody outside the server knows.
    fn no_portal(answer: &str) -> bool {
        answer.contains("C34000") && answer.contains("Mportal \\\"\\\" does not exist")
    }

    /// What the door says in the server's words has no file, line and routine of the server.
    fn alike(door: &str, direct: &str) -> bool {
        let cut = |text: &str| text.split("\\x00F").next().map(str::to_owned);
        direct.starts_with("E ")
            && ["C26000", "C34000"].iter().any(|code| direct.contains(code))
            && door.strip_suffix("\\x00\\x00").map(str::to_owned) == cut(direct)
    }

    fn difference(door: &Outcome, direct: &Outcome) -> Option<String> {
        let longest = door.answers.len().max(direct.answers.len());
        let nothing = "nothing".to_owned();
        for place in 0..longest {
            let ours = door.answers.get(place).unwrap_or(&nothing);
            let theirs = direct.answers.get(place).unwrap_or(&nothing);
            let before = door.answers.iter().take(place);
            if no_portal(ours) && before.into_iter().any(|answer| answer == UNKNOWN_NAME) {
                // The server had made a portal for a statement that the door did not let through.
                return None;
            }
            if !same(ours, theirs) {
                let list = |answers: &[String]| answers.join("\n  ");
                return Some(format!(
                    "answer {place} is different\n door: {ours}\n direct: {theirs}\n\
                     door:\n  {}\ndirect:\n  {}",
                    list(&door.answers),
                    list(&direct.answers)
                ));
            }
        }
        (door.table != direct.table).then(|| {
            format!("the tables are different\ndoor:\n{}direct:\n{}", door.table, direct.table)
        })
    }

    fn setting(name: &str, default: u64) -> u64 {
        let given = std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok());
        given.unwrap_or(default)
    }

    #[test]
    fn a_refusal_looks_like_an_error_of_the_server() {
        let mut stage = start();
        let (first, count) =
            (setting("PORTCULLIS_SEED", 1), setting("PORTCULLIS_PIPELINES", PIPELINES));
        let began = Instant::now();
        let mut wrong = Vec::new();
        for seed in first..first + count {
            let pipeline = Pipeline::random(seed);
            if let Some(said) = stage.check(&pipeline) {
                let (smallest, said) = stage.shrink(pipeline, said);
                println!("seed {seed}:\n{}{said}\n", smallest.show());
                wrong.push(seed);
                if wrong.len() >= 5 {
                    break;
                }
            }
        }
        println!("seeds {first}..{} in {:?}", first + count, began.elapsed());
        let output = stage.door.output();
        let said: Vec<&str> = output.lines().filter(|line| !line.contains(" INFO ")).collect();
        assert!(wrong.is_empty(), "seeds {wrong:?}; the door said: {said:?}");
    }

    #[test]
    fn a_name_that_the_server_would_truncate_is_refused() {
        let stage = start();
        let mut wire = stage.wire(Form::Denied).unwrap();
        let name = "n".repeat(64);
        let mut bytes = parse(&name, "SELECT 1", &[]);
        bytes.extend(parse("", "SELECT 1", &[]));
        bytes.extend(sync());
        wire.send(&bytes).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "E(42622) Z(I)");
        wire.send(&query("SELECT 1")).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "T D C(SELECT 1) Z(I)");
    }

    #[test]
    fn what_came_before_goodbye_is_done_and_answered() {
        let mut stage = start();
        for form in [Form::Ordinary, Form::Denied] {
            let mut wire = stage.wire(form).unwrap();
            let mut bytes = query("INSERT INTO t SELECT g FROM generate_series(1, 20000) g");
            bytes.extend(terminate());
            wire.send(&bytes).unwrap();
            let answers = wire.until_closed().unwrap();
            assert_eq!(tags(&answers), "C(INSERT 0 20000) Z(I)", "{form:?}");
            stage.keeper.query("TRUNCATE t").unwrap();
        }
    }
}
