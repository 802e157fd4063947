import { type ErrorCode, NokvError, isNokvError } from '@nokv/types';

/** Does `act`; a failure with this code is told with what to write instead. */
export async function orAdvise<Result>(code: ErrorCode, advice: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    if (!isNokvError(error, code)) throw error;
    throw new NokvError(code, `${error.message}; ${advice}`, { cause: error, outcome: error.outcome, details: error.details });
  }
}
