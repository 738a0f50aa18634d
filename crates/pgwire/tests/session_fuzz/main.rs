//! Bytes and sessions that nobody would write by hand.
//!
//! `bytes`: whatever arrives, in whatever pieces, nothing panics and lengths stay bounded.
//! `session`: random clients against a small model of the server; what the machine says about
//! names is compared with what the model has at the moment a message runs.
//!
//! The random numbers are the same each time; `PORTCULLIS_FUZZ_CASES` makes it longer.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod model;
#[cfg(test)]
mod session;

/// How many cases a property is tried with.
#[cfg(test)]
fn config(cases: u32) -> proptest::test_runner::Config {
    let given = std::env::var_os("PORTCULLIS_FUZZ_CASES")
        .and_then(|text| text.to_str()?.parse::<u32>().ok());
    proptest::test_runner::Config {
        cases: given.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_125),
        ..proptest::test_runner::Config::default()
    }
}
