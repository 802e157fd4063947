/** Writes docs/cli.md from the command table. */
import { writeFileSync } from 'node:fs';
import { COMMANDS, renderReference } from '../dist/index.js';

writeFileSync(new URL('../../../docs/cli.md', import.meta.url), renderReference(COMMANDS));
