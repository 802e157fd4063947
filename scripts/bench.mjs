/** `npm run bench -- [NAME…] [--json] [--quick]`: builds when needed, then runs the benchmarks. */
import { prepare } from './prepare.mjs';

prepare();
await import('../packages/bench/dist/main.js');
