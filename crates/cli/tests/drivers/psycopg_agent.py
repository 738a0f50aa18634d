"""An agent that speaks through psycopg 3: allowed and denied, plain and pipelined."""

import psycopg
from psycopg import errors


def denied(run, *args, **kwargs):
    try:
        run(*args, **kwargs)
    except errors.InsufficientPrivilege as error:
        assert "[BLOCKED by Portcullis]" in str(error), error
        assert error.diag.message_hint, error
        assert "Recorded as" in error.diag.message_detail, error
        return error
    raise AssertionError(f"not refused: {args}")


with psycopg.connect("", autocommit=True) as conn:
    cur = conn.execute("SELECT comment FROM feedback WHERE id = %s", (1,))
    assert cur.fetchall() == [("nice",)]
    denied(conn.execute, "DROP TABLE products")
    denied(conn.execute, "SELECT email FROM users WHERE id = %s", (1,))
    # The sixth time, psycopg prepares the statement.
    for number in range(8):
        row = conn.execute("SELECT %s::int + 1", (number,)).fetchone()
        assert row == (number + 1,)
    for number in range(8):
        denied(conn.execute, "SELECT %s FROM users", (number,))
    assert conn.execute("SELECT 2").fetchone() == (2,)

    # Transactions: a refusal is an error like any other.
    try:
        with conn.transaction():
            conn.execute("INSERT INTO notes VALUES (1, 'lost')")
            conn.execute("DROP TABLE notes")
        raise AssertionError("not refused")
    except errors.InsufficientPrivilege:
        pass
    assert conn.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    with conn.transaction():
        conn.execute("INSERT INTO notes VALUES (2, 'kept')")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO notes VALUES (3, 'lost')")
                conn.execute("DROP TABLE notes")
        except errors.InsufficientPrivilege:
            pass
    assert conn.execute("SELECT id FROM notes").fetchall() == [(2,)]

    # Pipelines.
    with conn.pipeline():
        cursors = [conn.execute("SELECT %s::int", (n,)) for n in range(20)]
    assert [cur.fetchone() for cur in cursors] == [(n,) for n in range(20)]
    try:
        with conn.pipeline():
            conn.execute("INSERT INTO notes VALUES (4, 'lost')")
            conn.execute("DROP TABLE notes")
            conn.execute("INSERT INTO notes VALUES (5, 'lost')")
        raise AssertionError("not refused")
    except errors.InsufficientPrivilege:
        pass
    assert conn.execute("SELECT count(*) FROM notes").fetchone() == (1,)

    # Cursors, binary results, COPY.
    with conn.transaction(), conn.cursor(name="server_side") as cur:
        cur.execute("SELECT generate_series(1, 250)")
        assert len(cur.fetchmany(100)) == 100
        assert len(cur.fetchall()) == 150
    with conn.cursor(binary=True) as cur:
        assert cur.execute("SELECT 7::int8, 'x'::bytea").fetchone() == (7, b"x")
    with conn.cursor() as cur:
        with cur.copy("COPY notes FROM STDIN") as copy:
            for number in range(10, 15):
                copy.write_row((number, "copied"))
        with cur.copy("COPY (SELECT id FROM notes WHERE id >= 10) TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 5
    assert conn.info.backend_pid == conn.execute("SELECT pg_backend_pid()").fetchone()[0]

print("all is well")
