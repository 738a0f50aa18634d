//! Tenants at the door: who an agent acts for, and the values that Bind brings.

use testkit::wire::{bind, execute, frame, parse, sync, tags};

use crate::kit::Door;

const POLICY: &str = r"
agents:
  one: {tenant: tenant_1, roles: [analyst], scopes: ['orders:read']}
  seven: {tenant: '7'}
  nobody: {description: has no tenant}
detections: {}
tenancy:
  tenant_global_tables: [products]
  table_required_scope: {payments: 'payments:read', orders: 'orders:read'}
";

fn door() -> Door {
    let door = Door::with(POLICY, &[]);
    door.direct(
        "CREATE TABLE orders (id int PRIMARY KEY, tenant_id text, note text);
         INSERT INTO orders VALUES (1, 'tenant_1', 'mine'), (2, 'tenant_2', 'theirs');
         CREATE TABLE counts (id int PRIMARY KEY, tenant_id int, n int);
         INSERT INTO counts VALUES (1, 7, 70), (2, 8, 80);
         GRANT ALL ON orders, counts TO app",
    );
    door
}

/// A Bind of one binary value.
pub(crate) fn bind_binary(statement: &str, value: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend_from_slice(statement.as_bytes());
    body.extend_from_slice(&[0, 0, 1, 0, 1, 0, 1]);
    body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend_from_slice(value);
    body.extend_from_slice(&[0, 0]);
    frame(b'B', &body)
}

#[test]
fn only_rows_of_the_own_tenant_come_out() {
    let door = door();
    let mut wire = door.wire("agent:one");
    let own = wire.query("SELECT note FROM orders WHERE tenant_id = 'tenant_1'").unwrap();
    assert_eq!(tags(&own), "T D C(SELECT 1) Z(I)");
    assert_eq!(own[1].row(), ["mine"]);
    for other in [
        "SELECT note FROM orders WHERE tenant_id = 'tenant_2'",
        "SELECT note FROM orders WHERE tenant_id = 'tenant_1' OR id = 2",
        "SELECT b.note FROM orders a, orders b WHERE a.tenant_id = 'tenant_1' AND b.id > a.id",
        "SELECT card FROM payments WHERE tenant_id = 'tenant_1'",
    ] {
        assert_eq!(tags(&wire.query(other).unwrap()), "E(42501) Z(I)", "{other}");
    }
    assert_eq!(
        tags(&wire.query("SELECT name FROM products WHERE price > 15").unwrap()),
        "T D C(SELECT 1) Z(I)"
    );
    let mut wire = door.wire("agent:nobody");
    let own = "SELECT note FROM orders WHERE tenant_id = 'tenant_1'";
    assert_eq!(tags(&wire.query(own).unwrap()), "E(42501) Z(I)");
    assert!(door.report().contains("tenant_violation"), "{}", door.report());
}

#[test]
fn a_parameter_counts_by_the_value_that_bind_brings() {
    let door = door();
    let mut wire = door.wire("agent:one");
    wire.send(&parse("own", "SELECT note FROM orders WHERE tenant_id = $1 LIMIT $2", &[])).unwrap();
    wire.send(&[bind("", "own", &["tenant_1", "10"]), execute("", 0), sync()].concat()).unwrap();
    let frames = wire.until_ready().unwrap();
    assert_eq!(tags(&frames), "1 2 D C(SELECT 1) Z(I)");
    assert_eq!(frames[2].row(), ["mine"]);
    for values in [["tenant_2", "10"], ["tenant_1", "501"], ["", "10"]] {
        wire.send(&[bind("", "own", &values), execute("", 0), sync()].concat()).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)", "{values:?}");
    }
    // A portal keeps its values, whatever is bound beside it.
    wire.send(
        &[bind("p", "own", &["tenant_1", "10"]), bind("q", "own", &["tenant_2", "10"])].concat(),
    )
    .unwrap();
    wire.send(&[execute("q", 0), execute("p", 0), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 E(42501) Z(I)");
    wire.send(&[bind("p", "own", &["tenant_1", "10"]), execute("p", 0), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 D C(SELECT 1) Z(I)");
}

#[test]
fn binary_values_are_numbers_where_they_cannot_be_text() {
    let door = door();
    let mut wire = door.wire("agent:seven");
    let text = "SELECT n FROM counts WHERE tenant_id = $1";
    wire.send(&[parse("own", text, &[23]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    for (value, answer) in [([0, 0, 0, 7], "2 D C(SELECT 1) Z(I)"), ([0, 0, 0, 8], "E(42501) Z(I)")]
    {
        wire.send(&[bind_binary("own", &value), execute("", 0), sync()].concat()).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), answer);
    }
}

#[test]
fn what_a_prepared_statement_is_given_by_sql_is_not_taken_for_the_tenant() {
    let door = door();
    let mut wire = door.wire("agent:one");
    let prepare = "PREPARE p AS SELECT note FROM orders WHERE tenant_id = $1";
    assert_eq!(tags(&wire.query(prepare).unwrap()), "E(42501) Z(I)");
    let text = "SELECT note FROM orders WHERE tenant_id = $1";
    wire.send(&[parse("own", text, &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    assert_eq!(tags(&wire.query("EXECUTE own('tenant_2')").unwrap()), "E(42501) Z(I)");
    let prepare = "PREPARE c AS SELECT note FROM orders WHERE tenant_id = 'tenant_1'";
    assert_eq!(tags(&wire.query(prepare).unwrap()), "C(PREPARE) Z(I)");
    assert_eq!(tags(&wire.query("EXECUTE c").unwrap()), "T D C(SELECT 1) Z(I)");
}

#[test]
fn a_file_of_detections_is_part_of_the_policy() {
    let policy = POLICY.replace("detections: {}", "detections: {file: templates.json}");
    let folder = std::env::temp_dir().join(format!("portcullis-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let lint = || {
        let mut command = std::process::Command::new(crate::kit::binary());
        crate::kit::said(command.args(["policy", "lint"]).arg(&file))
    };
    let missing = lint();
    assert_eq!(missing.code, 1);
    assert!(missing.out.contains("cannot read `templates.json`"), "{missing:?}");
    let templates = r#"{"templates": {"row_limit_enforcer": {"enabled": true, "max_limit": 9}}}"#;
    std::fs::write(folder.join("templates.json"), templates).unwrap();
    let wrapped = lint();
    assert_eq!(wrapped.code, 0, "{wrapped:?}");
    std::fs::write(folder.join("templates.json"), r#"{"select_star_blok": {}}"#).unwrap();
    let wrong = lint();
    assert_eq!(wrong.code, 1);
    let place = "templates.json:1:2: error: unknown key `select_star_blok` in `detections`";
    assert!(wrong.out.contains(place) && wrong.out.contains("select_star_block"), "{wrong:?}");
    std::fs::remove_dir_all(folder).unwrap();
}
