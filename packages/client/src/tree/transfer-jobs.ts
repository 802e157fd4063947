import { NokvError } from '@nokv/types';

const JOBS_DEFAULT = 32;
const JOBS_MAX = 256;

/** How many operations of a transfer may be in flight. */
export function transferJobs(jobs: number | undefined): number {
  if (jobs === undefined) return JOBS_DEFAULT;
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > JOBS_MAX) {
    throw new NokvError('invalid-argument', `expected 1 to ${JOBS_MAX} jobs, found ${jobs}`);
  }
  return jobs;
}
