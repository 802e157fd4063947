/** The faults of the store, before a real server: each gives the right bytes or an error that says what is wrong. */
import { s3FaultConformance } from '@nokv/object/testing';
import { startFaultyS3 } from '../services/s3-fault-proxy.js';

s3FaultConformance('versitygw', 'lean', () => startFaultyS3());
