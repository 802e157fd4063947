export { codeOf, objectStoreConformance, type OpenedStore } from './object-store-conformance.js';
export { blockStoreConformance, type OpenedBlocks } from './block-store-conformance.js';
export { startS3Double, type S3Double, type S3DoubleFault, type S3DoubleOptions } from './s3-double.js';
