/**
 * Asks all seven verbs through the official MCP client, as an agent would: `node tour-questions.mjs COMMAND ARG…` starts
 * the MCP server over standard input and output. Expects the namespace that docs/tour.md published.
 */
import { strict as assert } from 'node:assert';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: 'tour', version: '1' });
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' }));

async function ask(name, question) {
  const { structuredContent, content, isError } = await client.callTool({ name, arguments: question });
  assert.ok(!isError, `${name}: ${JSON.stringify(content)}`);
  process.stdout.write(`${name} ${JSON.stringify(question)}: ${JSON.stringify(structuredContent).length} bytes\n`);
  return structuredContent;
}

const { tools } = await client.listTools();
assert.deepEqual(
  tools.map(({ name }) => name),
  ['ls', 'stat', 'catalog', 'find', 'aggregate', 'read', 'grep'],
);

const root = await ask('ls', { path: '/' });
assert.deepEqual(
  root.entries.map(({ name }) => name),
  ['data', 'deps', 'odd'],
);

const {
  items: [big],
} = await ask('stat', { path: '/data/big.bin' });
assert.equal(big.size, 200_000_000);

const catalog = await ask('catalog', { path: '/deps' });
assert.ok(catalog.fields.some(({ name }) => name === 'size'));

const found = await ask('find', { path: '/odd', where: 'type = symlink', fields: ['path', 'target'] });
assert.deepEqual(found.rows, [{ path: '/odd/dangling', target: 'nowhere' }]);

const counted = await ask('aggregate', { path: '/odd', by: ['type'], metrics: ['count'] });
assert.deepEqual(counted.rows, [
  { type: 'directory', count: 3 },
  { type: 'file', count: 5 },
  { type: 'symlink', count: 1 },
]);

const {
  items: [script],
} = await ask('read', { path: '/odd/deep/run' });
assert.deepEqual(script.lines, ['#!/bin/sh', 'echo run']);

const matches = await ask('grep', { pattern: '^echo', path: '/odd' });
assert.deepEqual(
  matches.files.map(({ path, lines }) => [path, lines.map(({ line }) => line)]),
  [['/odd/deep/run', [2]]],
);

// A citation gives the same bytes again.
const {
  items: [cited],
} = await ask('read', { path: matches.files[0].uri });
assert.ok(cited.lines.includes('echo run'));

await assert.rejects(async () => {
  const { isError, content } = await client.callTool({ name: 'find', arguments: { where: 'siez > 1' } });
  if (isError) throw new Error(JSON.stringify(content));
}, /size/);

await client.close();
process.stdout.write('seven verbs answered\n');
