"""The demo's agent that speaks through a driver. Prints what happens; fails if it is unexpected."""

import sys

import psycopg


def show(what, result):
    print(f"    {what}\n      -> {result}")


def refused(run, what, expected):
    try:
        run()
    except psycopg.errors.InsufficientPrivilege as error:
        message = error.diag.message_primary
        show(what, f"{error.sqlstate} {message}")
        assert expected in message, message
        return
    sys.exit(f"not refused: {what}")


with psycopg.connect("", autocommit=True) as conn:
    query = "SELECT name FROM products WHERE id = %s"
    for number in (1, 2):
        row = conn.execute(query, (number,), prepare=True).fetchone()
        show(f"prepared: {query}   with {number}", row[0])
    assert row == ("Chair",)
    query = "SELECT email FROM users WHERE id = %s"
    refused(lambda: conn.execute(query, (1,), prepare=True), f"prepared: {query}", "blocked_table")

    conn.execute("BEGIN")
    conn.execute("UPDATE feedback SET comment = 'edited' WHERE id = %s", (1,))
    refused(lambda: conn.execute("TRUNCATE feedback"), "in a transaction: TRUNCATE feedback", "blocked_operation")
    status = conn.info.transaction_status.name
    conn.execute("ROLLBACK")
    comment = conn.execute("SELECT comment FROM feedback WHERE id = 1").fetchone()[0]
    show(f"the transaction was {status}, and is rolled back; the comment is", comment)
    assert (status, comment) == ("INERROR", "Bright and quiet.")
