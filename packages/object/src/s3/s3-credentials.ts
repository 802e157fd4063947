/**
 * Keys for S3: those of the environment that was passed in, else the SDK's own chain (profiles, web identity, container
 * and instance metadata), which refreshes what expires. Secrets never leave this file but to the signer.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { NokvError } from '@nokv/types';
import { loadAwsSdk } from './aws-sdk.js';
import type { S3Credentials } from './sigv4.js';

export type Env = Readonly<Record<string, string | undefined>>;
export type CredentialSource = () => Promise<S3Credentials>;

export function credentialSource(env: Env, region: string): CredentialSource {
  const stated = fromEnv(env);
  if (stated !== undefined) return async () => stated;
  let chain: Promise<CredentialSource> | undefined;
  return async () => {
    chain ??= sdkChain(env, region);
    try {
      return await (
        await chain
      )();
    } catch (cause) {
      throw new NokvError(
        'bad-credentials',
        'found no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a profile in ~/.aws',
        { cause },
      );
    }
  };
}

/** Whether somebody gave this process keys on purpose; asks no metadata service, so it takes no time. */
export function hasOwnCredentials(env: Env): boolean {
  if (fromEnv(env) !== undefined) return true;
  if (
    env['AWS_PROFILE'] ||
    env['AWS_WEB_IDENTITY_TOKEN_FILE'] ||
    env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] ||
    env['AWS_CONTAINER_CREDENTIALS_FULL_URI']
  )
    return true;
  return existsSync(env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(env['HOME'] ?? homedir(), '.aws', 'credentials'));
}

function fromEnv(env: Env): S3Credentials | undefined {
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  if (!accessKeyId || !secretAccessKey) return undefined;
  const sessionToken = env['AWS_SESSION_TOKEN'];
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

async function sdkChain(env: Env, region: string): Promise<CredentialSource> {
  const { S3Client } = await loadAwsSdk();
  const profile = env['AWS_PROFILE'];
  const client = new S3Client({ region, ...(profile === undefined ? {} : { profile }) });
  return () => client.config.credentials();
}
