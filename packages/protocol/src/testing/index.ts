export { FramePeer } from './frame-peer.js';
export { transportConformance, type TransportPair } from './transport-conformance.js';
