//! How text is read: encodings, ranges, catalog names, startup parameters.

use model::{Operation, SettingChange, SettingValue, TransactionStep, Unknown};
use sql::{Context, Encoding, SearchPaths};

use crate::common::{analyze, context, facts, relations};

fn first_unknown(text: &[u8], context: &Context<'_>) -> Option<Unknown> {
    let analysis = sql::analyze(text, context);
    analysis.statements()[0].facts(&|_, _| None).first_unknown()
}

#[test]
fn bytes_that_the_server_may_read_otherwise_are_unknown() {
    let utf8 = context(&[]);
    assert_eq!(first_unknown(b"SELECT '\x83\x5c'; DELETE FROM t; --'", &utf8), {
        Some(Unknown::Encoding)
    });
    assert_eq!(first_unknown("SELECT 'ü'".as_bytes(), &utf8), None);
    for encoding in [Encoding::AsciiOnly, Encoding::Unknown] {
        let context = Context { encoding, ..utf8 };
        assert_eq!(first_unknown("SELECT 'ü'".as_bytes(), &context), Some(Unknown::Encoding));
        assert_eq!(first_unknown(b"SELECT 'u'", &context), None);
    }
    let legacy = Context { standard_conforming_strings: false, ..utf8 };
    assert_eq!(first_unknown(br"SELECT 'x\' , '; DELETE FROM t; --'", &legacy), {
        Some(Unknown::Encoding)
    });
    assert_eq!(first_unknown(b"SELECT 'x'", &legacy), None);
    assert_eq!(first_unknown(b"SELECT 1\0; DROP TABLE t", &utf8), Some(Unknown::ParseError));
}

#[test]
fn invisible_characters_are_part_of_names_as_for_the_server() {
    let text = "SELECT 5 -\u{200b}- 3 FROM (SELECT 1 AS \u{200b}) q; DROP TABLE victim";
    let analysis = analyze(text);
    assert_eq!(analysis.statements().len(), 2);
    assert_eq!(analysis.statements()[1].facts(&|_, _| None).operation, Operation::Drop);
}

#[test]
fn a_text_that_does_not_parse_says_so_and_nothing_more() {
    let analysis = analyze("SELECT )");
    assert!(!analysis.is_ok());
    assert_eq!(analysis.error().unwrap().message, "syntax error at or near \")\"");
    assert_eq!(analysis.statements().len(), 1);
}

#[test]
fn nothing_is_a_statement_too() {
    for text in ["", ";", " ;; ", "-- DROP TABLE t", "/* x */"] {
        let facts = facts(text);
        assert!(facts.empty, "{text}");
        assert_eq!(facts.operations.known().unwrap(), &[], "{text}");
    }
}

#[test]
fn statements_know_where_they_stand() {
    let text = "SELECT 1; DROP TABLE t ;BEGIN";
    let ranges: Vec<&str> = analyze(text)
        .statements()
        .iter()
        .map(|found| text.get(found.text_range()).unwrap())
        .collect();
    assert_eq!(ranges, ["SELECT 1", "DROP TABLE t ", "BEGIN"]);
}

#[test]
fn transaction_steps_are_told() {
    let step = |text: &str| facts(text).transaction;
    assert_eq!(step("COMMIT AND CHAIN"), Some(TransactionStep::Commit));
    assert_eq!(step("END"), Some(TransactionStep::Commit));
    assert_eq!(step("ABORT"), Some(TransactionStep::Rollback));
    assert_eq!(step("ROLLBACK TO a"), Some(TransactionStep::RollbackTo));
    assert_eq!(step("PREPARE TRANSACTION 'x'"), Some(TransactionStep::Prepare));
    assert_eq!(step("SET CONSTRAINTS ALL DEFERRED"), Some(TransactionStep::Constraints));
    assert_eq!(step("SELECT 1"), None);
}

#[test]
fn names_are_cut_where_the_server_cuts_them() {
    let long = "a".repeat(70);
    assert_eq!(relations(&format!("SELECT * FROM {long}")), format!("r:{}", "a".repeat(63)));
    let wide = "ü".repeat(40);
    assert_eq!(relations(&format!("SELECT * FROM {wide}")), format!("r:{}", "ü".repeat(31)));
    assert_eq!(relations(&format!("SELECT '{long}'::regclass")), format!("r:{}", "a".repeat(63)));
}

#[test]
fn catalog_relations_stand_before_the_path_unless_it_lists_pg_catalog() {
    let schemas_of = |server_major, paths: &[&[&str]], name: &str| {
        let owned = |path: &&[&str]| path.iter().map(|part| (*part).to_owned()).collect();
        let paths: Vec<Vec<String>> = paths.iter().map(owned).collect();
        let text = format!("SELECT * FROM {name}");
        let context = Context { server_major, ..context(&paths) };
        let analysis = sql::analyze(text.as_bytes(), &context);
        let facts = analysis.statements()[0].facts(&|_, _| None).into_owned();
        format!("{:?}", facts.relations.known().unwrap()[0].relation.schemas)
    };
    let schemas = |paths: &[&[&str]], name: &str| schemas_of(Some(18), paths, name);
    assert_eq!(schemas(&[&["public"]], "pg_shadow"), r#"Named("pg_catalog")"#);
    assert_eq!(schemas(&[&["evil", "pg_catalog", "public"]], "pg_shadow"), {
        r#"Paths([["evil", "pg_catalog"]])"#
    });
    assert_eq!(schemas(&[&["public"], &["evil", "pg_catalog"]], "pg_shadow"), {
        r#"Paths([["pg_catalog"], ["evil", "pg_catalog"]])"#
    });
    // Not in every PostgreSQL: an older one may hold somebody's table of that name.
    let io = |major| schemas_of(major, &[&["public"]], "pg_stat_io");
    assert_eq!(io(None), r#"Paths([["pg_catalog", "public"]])"#);
    assert_eq!(io(Some(15)), r#"Paths([["public"]])"#);
    assert_eq!(io(Some(16)), r#"Named("pg_catalog")"#);
    assert_eq!(schemas(&[&["public"]], "users"), r#"Paths([["public"]])"#);
    assert_eq!(schemas(&[&["public"]], "pg_temp.users"), r#"Named("pg_temp")"#);
}

#[test]
fn an_unknown_path_leaves_unqualified_names_open() {
    let open = Context { search_paths: SearchPaths::Unknown, ..context(&[]) };
    let analysis = sql::analyze(b"SELECT * FROM t, s.u", &open);
    let facts = analysis.statements()[0].facts(&|_, _| None).into_owned();
    let shown = format!("{:?}", facts.relations.known().unwrap());
    assert!(shown.contains("Unknown") && shown.contains(r#"Named("s")"#), "{shown}");
}

#[test]
fn startup_parameters_are_settings() {
    let settings = |name: &str, value: &str| {
        let params = [
            ("user".to_owned(), "bob".to_owned()),
            ("database".to_owned(), "d".to_owned()),
            ("_pq_.x".to_owned(), "1".to_owned()),
            (name.to_owned(), value.to_owned()),
        ];
        sql::startup_settings(&params)
            .into_iter()
            .map(|used| {
                assert_eq!(used.change, SettingChange::Startup);
                match used.value {
                    SettingValue::Constants(values) => {
                        format!("{}={}", used.name, values.join(","))
                    }
                    SettingValue::Default | SettingValue::Unknown => format!("{}=?", used.name),
                }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(settings("Search_Path", "evil"), ["search_path=evil"]);
    assert_eq!(
        settings("options", "-c search_path=a --statement-timeout=0"),
        ["search_path=a", "statement_timeout=0"]
    );
    assert_eq!(settings("options", r"-csearch_path=a\ b"), ["search_path=a b"]);
    assert_eq!(settings("options", "-c"), ["*=?"]);
    assert_eq!(settings("options", "-c role"), ["*=?"]);
    assert_eq!(settings("options", "nonsense"), ["*=?"]);
    assert_eq!(settings("options", ""), Vec::<String>::new());
    assert_eq!(settings("options", "-e"), ["datestyle=euro"]);
    assert_eq!(settings("options", "-ecrole=x"), ["datestyle=euro", "role=x"]);
    assert_eq!(settings("options", "-- role=x"), ["role=x"]);
    assert_eq!(settings("options", "-S 64"), ["work_mem=64"]);
    assert_eq!(settings("options", "-fs"), ["enable_seqscan=false"]);
}
