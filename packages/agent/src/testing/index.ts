export { MemoryPlane, type WriteOptions } from './memory-plane.js';
export { planeConformance, type PlaneFixture } from './plane-conformance.js';
