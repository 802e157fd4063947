/** The passes over rows, in their order. */
import { checkBodies } from './check-bodies.js';
import { checkCounters } from './check-counters.js';
import { checkEntries } from './check-entries.js';
import { checkExtents } from './check-extents.js';
import { checkHolds } from './check-holds.js';
import { checkInodes } from './check-inodes.js';
import { checkLogs } from './check-logs.js';
import { checkNames } from './check-names.js';
import { checkPins } from './check-pins.js';
import { checkTree } from './check-tree.js';
import type { NamedPass } from './context.js';

export const ROW_PASSES: readonly NamedPass[] = [
  { name: 'inodes', run: checkInodes },
  { name: 'entries', run: checkEntries },
  { name: 'names', run: checkNames },
  { name: 'tree', run: checkTree },
  { name: 'counters', run: checkCounters },
  { name: 'extents', run: checkExtents },
  { name: 'bodies', run: checkBodies },
  { name: 'pins', run: checkPins },
  { name: 'holds', run: checkHolds },
  { name: 'logs', run: checkLogs },
];
