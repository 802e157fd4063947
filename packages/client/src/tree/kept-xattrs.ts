/**
 * Extended attributes that transfers keep. Those of users always; those of the system as rsync does, where this process may set
 * them (root): not access control lists, which the namespace keeps no account of, nor labels, which belong to the machine.
 */
const USER = 'user.';
const LEFT = ['system.', 'security.selinux', 'security.ima', 'security.evm'];

export function keptXattr(name: Uint8Array): boolean {
  const text = Buffer.from(name).toString('latin1');
  if (text.startsWith(USER)) return true;
  return process.geteuid?.() === 0 && !LEFT.some((prefix) => text.startsWith(prefix));
}
