/**
 * Property tests draw the same cases in every normal run, so that a change is judged by its own faults; `--long` draws fresh ones,
 * and `NOKV_TEST_SEED=N` draws those of N. A failing property prints its seed either way.
 */
import fc from 'fast-check';

const given = process.env['NOKV_TEST_SEED'];
const seed = given === undefined ? (process.env['NOKV_TEST_LONG'] === '1' ? undefined : 20_261_121) : Number(given);
if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
