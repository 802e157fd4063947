/** `npm start [-- FLAGS]`: installs and builds when needed, then runs `nokv serve FLAGS` in this process. */
import { prepare } from './prepare.mjs';

prepare();
process.argv.splice(2, 0, 'serve');
await import('../packages/cli/bin/nokv.mjs');
