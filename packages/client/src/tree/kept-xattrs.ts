/**
 * Extended attributes that transfers keep. Those of users always; those of the system as rsync does, where this process may set
 * them (root): not access control lists, which the namespace keeps no account of, nor labels, which belong to the machine. What the
 * namespace itself is told by attributes (how a directory is stored) is its own, and stays as it is there.
 */
const USER = 'user.';
const OURS = 'user.nokv.';
const LEFT = ['system.', 'security.selinux', 'security.ima', 'security.evm'];

export function keptXattr(name: Uint8Array): boolean {
  const text = Buffer.from(name).toString('latin1');
  if (text.startsWith(USER)) return !text.startsWith(OURS);
  return process.geteuid?.() === 0 && !LEFT.some((prefix) => text.startsWith(prefix));
}
