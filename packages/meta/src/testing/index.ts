export { orderedKvConformance, type OrderedKvFixture } from './ordered-kv-conformance.js';
export { contradictions } from './check-rows.js';
export { ModelFilesystem, type ModelNode, type ModelPut } from './model-filesystem.js';
export { commandsOfSegment, rowsOfCommit, uploadsInBodies, type CommitRows } from './commit-rows.js';
