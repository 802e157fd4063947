export { orderedKvConformance, type OrderedKvFixture } from './ordered-kv-conformance.js';
