export { FramePeer } from './frame-peer.js';
export { transportConformance, type TransportPair } from './transport-conformance.js';
export { goldenMessages } from './golden-messages.js';
export type { Message } from './message.js';
