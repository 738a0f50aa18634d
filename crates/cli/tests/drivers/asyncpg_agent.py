"""An agent that speaks through asyncpg: everything is prepared, results are binary."""

import asyncio
import os

import asyncpg


async def denied(awaitable):
    try:
        await awaitable
    except asyncpg.InsufficientPrivilegeError as error:
        assert "[BLOCKED by Portcullis]" in str(error), error
        return
    raise AssertionError("not refused")


async def main():
    settings = {"application_name": os.environ["PGAPPNAME"]}
    conn = await asyncpg.connect(server_settings=settings)
    row = await conn.fetchrow("SELECT comment FROM feedback WHERE id = $1", 1)
    assert row["comment"] == "nice"
    await denied(conn.execute("DROP TABLE products"))
    await denied(conn.fetch("SELECT email FROM users WHERE id = $1", 1))
    assert await conn.fetchval("SELECT 40 + $1::int", 2) == 42

    statement = await conn.prepare("SELECT $1::text")
    for word in ("a", "b"):
        assert await statement.fetchval(word) == word
    await denied(conn.prepare("SELECT * FROM users"))

    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO notes VALUES (1, 'lost')")
            await conn.execute("DROP TABLE notes")
        raise AssertionError("not refused")
    except asyncpg.InsufficientPrivilegeError:
        pass
    assert await conn.fetchval("SELECT count(*) FROM notes") == 0
    async with conn.transaction():
        await conn.executemany("INSERT INTO notes VALUES ($1, $2)", [(n, "x") for n in range(10)])
        numbers = [row["id"] async for row in conn.cursor("SELECT id FROM notes", prefetch=3)]
    assert sorted(numbers) == list(range(10))
    await denied(conn.executemany("UPDATE users SET email = $1", [("x",)]))

    copied = await conn.copy_records_to_table("notes", records=[(20, "c"), (21, "d")])
    assert copied == "COPY 2", copied

    got = asyncio.Queue()
    await conn.add_listener("news", lambda *args: got.put_nowait(args))
    await conn.execute("NOTIFY news, 'hello'")
    heard = await asyncio.wait_for(got.get(), 5)
    assert heard[1:] == (conn.get_server_pid(), "news", "hello"), heard
    await conn.close()
    print("all is well")


asyncio.run(main())
