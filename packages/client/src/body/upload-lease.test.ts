import { NokvError, makeUploadId, systemClock, systemRandom, type UploadId } from '@nokv/types';
import { expect, test } from 'vitest';
import type { ClientContext } from '../client-context.js';
import { UploadLease } from './upload-lease.js';

/** Tickets carry the number of their renewal; the store takes those of the node that serves now. */
function nodes() {
  const upload = makeUploadId(1, systemRandom.bytes(10));
  const calls: string[] = [];
  let renewals = 0;
  let serving = 0;
  const refuseUnlessServing = (ticket: string | undefined): void => {
    if (ticket !== `node ${serving}`) throw new NokvError('bad-token', 'signed elsewhere');
  };
  const context = {
    clock: systemClock,
    metadata: {
      mutate: async (operation: string) => {
        calls.push(operation);
        if (operation === 'renew-upload') renewals += 1;
        return { version: 1, result: { upload, ticket: `node ${serving}` } };
      },
    },
    store: {
      description: 'blocks',
      putBlock: async (_: UploadId, index: number, __: Uint8Array, { ticket }: { readonly ticket?: string }) => {
        await Promise.resolve();
        refuseUnlessServing(ticket);
        calls.push(`put ${index}`);
      },
    },
  };
  return {
    context: context as unknown as ClientContext,
    calls,
    takeOver: () => void (serving += 1),
    get renewals() {
      return renewals;
    },
  };
}

test('puts that another node refuses for their ticket ask for a new one together, and go on', async () => {
  const fleet = nodes();
  const lease = new UploadLease(fleet.context, { target: '/f', signal: new AbortController().signal });
  const put = async (index: number, grant: { readonly upload: UploadId; readonly ticket?: string | undefined }) =>
    lease.session.store.putBlock(grant.upload, index, Buffer.from('x'), { crc32c: 0, ticket: grant.ticket });
  const old = await lease.session.grant();
  await put(0, old);
  fleet.takeOver();
  await Promise.all([1, 2, 3].map((index) => put(index, old)));
  expect(fleet.renewals).toBe(1);
  await put(4, await lease.session.grant());
  expect(fleet.renewals).toBe(1);
  expect(fleet.calls).toEqual(['begin-upload', 'put 0', 'renew-upload', 'put 1', 'put 2', 'put 3', 'put 4']);
  lease.release();
});
