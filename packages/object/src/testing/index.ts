export { codeOf, objectStoreConformance, type OpenedStore } from './object-store-conformance.js';
export { blockStoreConformance, type OpenedBlocks } from './block-store-conformance.js';
export { TEST_CERTIFICATE } from './test-certificate.js';
export { startS3Double, type S3Double, type S3DoubleOptions, type SeenRequest } from './s3-double.js';
export { s3FaultConformance, type FaultyS3 } from './s3-fault-conformance.js';
export { S3FaultScript, readBody, type S3Answer, type S3Fault, type S3FaultEffect } from './s3-faults.js';
