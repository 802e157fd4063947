export { codeOf, objectStoreConformance, type OpenedStore } from './object-store-conformance.js';
export { blockStoreConformance, type OpenedBlocks } from './block-store-conformance.js';
