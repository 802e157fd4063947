/** How clients get at blocks: the ways that a server offers, and the URLs that it signs. */
import type { UploadId } from './ids.js';

/** How a client may reach blocks: offered by the server in order of preference, chosen by the client. */
export type BlockAccess =
  /** The file store's directory, for clients on the same machine that can read and write it (`marker` proves it). */
  | { readonly kind: 'file'; readonly directory: string; readonly marker: string }
  /** The bucket itself, for clients that find credentials of their own in the AWS environment or profile. */
  | {
      readonly kind: 's3';
      readonly endpoint: string;
      readonly region: string;
      readonly bucket: string;
      readonly prefix: string;
      readonly pathStyle: boolean;
      /** What is asked for with every put; absent: what the bucket does by itself. */
      readonly storageClass?: string | undefined;
      readonly encryption?: S3Encryption | undefined;
      readonly kmsKeyId?: string | undefined;
      readonly marker: string;
    }
  /**
   * The bucket by URLs that the server signs, for clients without credentials: `presign-puts` and `presign-gets` answer them. `markerUrl`
   * reads the namespace's marker, which shows whether the bucket can be reached from here; it is a secret until `expiresAtMs`.
   */
  | {
      readonly kind: 'presigned';
      /** For people. */
      readonly description: string;
      readonly markerUrl: string;
      readonly marker: string;
      readonly readToken: string;
      readonly expiresAtMs: number;
    }
  /** The server's own HTTP port: `GET|PUT <url>/<upload id>/<index>` with a bearer token. */
  | { readonly kind: 'proxied'; readonly url: string; readonly readToken: string; readonly expiresAtMs: number };

/** Server-side encryption by its name in the header: SSE-S3, SSE-KMS, and two layers of the latter. */
export const S3_ENCRYPTIONS = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const;
export type S3Encryption = (typeof S3_ENCRYPTIONS)[number];

/** How a store answers: `open` after failures in a row, when a single request asks now and then whether it is back (`half-open`). */
export const CIRCUIT_STATES = ['closed', 'open', 'half-open'] as const;
export type CircuitState = (typeof CIRCUIT_STATES)[number];

/** The key of the object that names a namespace's store: `namespace.json`, holding the marker. */
export const NAMESPACE_MARKER_KEY = 'namespace.json';

export interface AccessResult {
  /** In order of preference; never empty. */
  readonly ways: readonly BlockAccess[];
  readonly blockBytes: number;
  readonly inlineBytesMax: number;
}

/** URLs that one call may ask for. */
export const PRESIGN_BLOCKS_MAX = 500;

/** URLs that put blocks of an open upload. Errors: `bad-token`, `no-upload`, `unsupported` (the store has no signed URLs). */
export interface PresignPutsArgs {
  readonly upload: UploadId;
  /** Of the answer of `begin-upload` or `renew-upload`. */
  readonly ticket: string;
  /** What each put will store: the URL is good for these bytes alone, and only while nothing is there. */
  readonly blocks: readonly BlockToPut[];
}

export interface BlockToPut {
  readonly index: number;
  readonly length: number;
  readonly crc32c: number;
}

/** URLs that read blocks, with any `range`. Errors: `bad-token`, `unsupported`. */
export interface PresignGetsArgs {
  /** `readToken` of the answer of `access`. */
  readonly readToken: string;
  readonly blocks: readonly { readonly upload: UploadId; readonly index: number }[];
}

/** A request that needs no credentials. The URL is a secret until it expires. */
export interface SignedRequest {
  readonly url: string;
  /** To be sent exactly so: they are part of the signature. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** By the store's clock. */
  readonly expiresAtMs: number;
}

export interface PresignResult {
  /** In the order of the blocks. */
  readonly requests: readonly SignedRequest[];
}
