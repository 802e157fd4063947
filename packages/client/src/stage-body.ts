import type { Body, UploadId } from '@nokv/types';

/** A body and the ledger row that its new pieces belong to. */
export interface StagedParts {
  readonly body: Body;
  readonly upload?: UploadId;
}
