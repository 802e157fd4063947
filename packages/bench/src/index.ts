export type { Bench, BenchContext, Figure } from './figure.js';
