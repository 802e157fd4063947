export { coordinatorConformance, type CoordinatorConformanceOptions, type CoordinatorHarness } from './coordinator-conformance.js';
