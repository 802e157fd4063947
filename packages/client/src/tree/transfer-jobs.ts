import { NokvError } from '@nokv/types';

/** Enough to fill the server's batches; what is in memory for it is small bodies only. */
const JOBS_DEFAULT = 64;
const JOBS_MAX = 256;

/** How many operations of a transfer may be in flight. */
export function transferJobs(jobs: number | undefined): number {
  if (jobs === undefined) return JOBS_DEFAULT;
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > JOBS_MAX) {
    throw new NokvError('invalid-argument', `expected 1 to ${JOBS_MAX} jobs, found ${jobs}`);
  }
  return jobs;
}

/** Entries under way at once: more than jobs, since so many share a request; two requests of 256 are full of them. */
export const TASKS_PER_JOB = 8;
export const TASKS_MAX = 512;

/** Bodies from this size on are moved few at a time: each has several blocks in memory. */
export const LARGE_FILE_BYTES_MIN = 1024 * 1024 + 1;
export const LARGE_FILES_MAX = 3;
