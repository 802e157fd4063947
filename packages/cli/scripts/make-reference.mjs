/** Writes what is made from tables: docs/cli.md, and the schemas of the verbs' answers. */
import { writeFileSync } from 'node:fs';
import { VERBS } from '@nokv/agent';
import { COMMANDS, renderReference } from '../dist/index.js';

writeFileSync(new URL('../../../docs/cli.md', import.meta.url), renderReference(COMMANDS));
for (const name of ['catalog', 'find', 'aggregate', 'grep', 'read']) {
  const schema = VERBS[name].output.toJSONSchema();
  writeFileSync(
    new URL(`../schema/${name}.json`, import.meta.url),
    `${JSON.stringify({ title: `What nokv ${name} --json prints`, ...schema }, null, 2)}\n`,
  );
}
