export { transportConformance, type TransportPair } from './transport-conformance.js';
