// An agent that speaks through node-postgres: simple, parameterised and named statements.
const assert = require('node:assert');
const { Client, Pool } = require('pg');

async function denied(run) {
  await assert.rejects(run, (error) => {
    assert.strictEqual(error.code, '42501');
    assert.match(error.message, /\[BLOCKED by Portcullis\]/);
    assert.match(error.detail, /Recorded as /);
    assert.ok(error.hint);
    return true;
  });
}

async function main() {
  const client = new Client({ application_name: process.env.PGAPPNAME });
  await client.connect();
  const { rows } = await client.query('SELECT comment FROM feedback WHERE id = $1', [1]);
  assert.deepStrictEqual(rows, [{ comment: 'nice' }]);
  await denied(() => client.query('DROP TABLE products'));
  await denied(() => client.query('SELECT email FROM users WHERE id = $1', [1]));
  for (const id of [1, 2, 3]) {
    const named = { name: 'find', text: 'SELECT id FROM feedback WHERE id = $1', values: [id] };
    assert.strictEqual((await client.query(named)).rows[0].id, id);
  }
  await denied(() => client.query({ name: 'bad', text: 'TABLE users', values: [] }));
  assert.strictEqual((await client.query('SELECT 2 AS two')).rows[0].two, 2);

  await client.query('BEGIN');
  await client.query("INSERT INTO notes VALUES (1, 'lost')");
  await denied(() => client.query('DROP TABLE notes'));
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
  await client.query('ROLLBACK');
  assert.strictEqual((await client.query('SELECT count(*)::int FROM notes')).rows[0].count, 0);
  await client.end();

  const pool = new Pool({ application_name: process.env.PGAPPNAME, max: 5 });
  const sums = await Promise.all(
    Array.from({ length: 40 }, (_, n) => pool.query('SELECT $1::int + 1 AS sum', [n])),
  );
  sums.forEach((result, n) => assert.strictEqual(result.rows[0].sum, n + 1));
  await pool.end();
  console.log('all is well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
