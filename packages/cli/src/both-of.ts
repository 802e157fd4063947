import { NokvError, type Owner } from '@nokv/types';

/** An owner whose two halves are both given. */
export function bothOf({ uid, gid }: { readonly uid: number | undefined; readonly gid: number | undefined }, text: string): Owner {
  if (uid === undefined || gid === undefined) throw new NokvError('invalid-argument', `expected UID:GID as numbers, found "${text}"`);
  return { uid, gid };
}
