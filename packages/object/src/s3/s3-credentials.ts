/**
 * Keys for S3: those of the environment that was passed in, else the SDK's own chain (profiles, web identity, container
 * and instance metadata), which takes new ones in time where it knows when they end. Secrets never leave this file but to the signer.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { NokvError } from '@nokv/types';
import { loadAwsSdk } from './aws-sdk.js';
import type { S3Credentials } from './sigv4.js';

export type Env = Readonly<Record<string, string | undefined>>;

export interface CredentialSource {
  get(): Promise<S3Credentials>;
  /** Asks anew where keys come from, past every cache. Resolves with whether there are others now. */
  renew(): Promise<boolean>;
}

export function credentialSource(env: Env, region: string): CredentialSource {
  const stated = fromEnv(env);
  // What stands in the environment of a process does not change.
  if (stated !== undefined) return { get: async () => stated, renew: async () => false };
  return new ChainCredentials(env, region);
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

class ChainCredentials implements CredentialSource {
  readonly #env: Env;
  readonly #region: string;
  #chain: Promise<() => Promise<S3Credentials>> | undefined;
  #last: S3Credentials | undefined;

  constructor(env: Env, region: string) {
    this.#env = env;
    this.#region = region;
  }

  async get(): Promise<S3Credentials> {
    this.#chain ??= this.#makeChain();
    const chain = this.#chain;
    try {
      return (this.#last = await (await chain)());
    } catch (cause) {
      // The next call looks again: a profile may have been written, a metadata service may be back.
      if (this.#chain === chain) this.#chain = undefined;
      throw new NokvError(
        'bad-credentials',
        'found no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a profile in ~/.aws',
        { cause },
      );
    }
  }

  async renew(): Promise<boolean> {
    const before = this.#last;
    this.#chain = undefined;
    const { accessKeyId, secretAccessKey, sessionToken } = await this.get();
    return accessKeyId !== before?.accessKeyId || secretAccessKey !== before.secretAccessKey || sessionToken !== before.sessionToken;
  }

  /** A chain of its own with nothing remembered, files included. */
  async #makeChain(): Promise<() => Promise<S3Credentials>> {
    const { S3Client } = await loadAwsSdk();
    const profile = this.#env['AWS_PROFILE'];
    const options = { region: this.#region, ignoreCache: true, ...(profile === undefined ? {} : { profile }) };
    const client = new S3Client(options);
    return async () => {
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = await client.config.credentials();
      return {
        accessKeyId,
        secretAccessKey,
        ...(sessionToken === undefined ? {} : { sessionToken }),
        ...(expiration === undefined ? {} : { expiresAtMs: expiration.getTime() }),
      };
    };
  }
}
