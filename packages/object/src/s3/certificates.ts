/** The certificates that connections to a store are checked against. */
import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { NokvError } from '@nokv/types';

/** The usual authorities and those of the file (PEM); undefined: only the usual ones. */
export async function trustedCertificates(file: string | undefined): Promise<readonly string[] | undefined> {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new NokvError('bad-configuration', `${file}: cannot read the file of certificates (${errno}); correct ca=… or AWS_CA_BUNDLE`, {
      cause,
    });
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw new NokvError('bad-configuration', `${file}: expected certificates in PEM, found none; correct ca=… or AWS_CA_BUNDLE`);
  return [...rootCertificates, text];
}
