//! Text that somebody calls SQL.
//!
//! Invariant `analysis_is_total`: every byte string gives at least one statement with facts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sql::{Context, Encoding, SearchPaths};

fuzz_target!(
    init: {
        // Analysis catches what its parser's tree does not keep; anything else still ends the run.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |input: &[u8]| {
        let Some((first, text)) = input.split_first() else { return };
        let paths = [vec!["app".to_owned(), "public".to_owned()], vec!["other".to_owned()]];
        let context = Context {
            search_paths: if first & 1 == 0 {
                SearchPaths::Possible(&paths)
            } else {
                SearchPaths::Unknown
            },
            encoding: match first & 6 {
                0 => Encoding::Utf8,
                2 => Encoding::AsciiOnly,
                _ => Encoding::Unknown,
            },
            standard_conforming_strings: first & 8 == 0,
            tenant_column: None,
            timeline: None,
            role: None,
            server_major: if first & 16 == 0 { Some(18) } else { None },
            catalog: match first & 96 {
                0 => sql::Known::Nothing,
                32 => sql::Known::BuiltIn(sql::BareNames::Any),
                _ => sql::Known::BuiltIn(sql::BareNames::BuiltIn),
            },
        };
        let analysis = sql::analyze(text, &context);
        assert!(!analysis.statements().is_empty());
        for statement in analysis.statements() {
            let range = statement.text_range();
            assert!(range.start <= range.end && range.end <= text.len());
            assert!(statement.effects().len() <= text.len());
            drop(statement.facts(&|_, _| None).into_owned());
        }
        if let Ok(text) = std::str::from_utf8(text) {
            drop(sql::parse_search_path(text));
            drop(sql::split_options(text));
            let parameters = [("options".to_owned(), text.to_owned())];
            drop(sql::startup_settings(&parameters));
        }
    }
);
