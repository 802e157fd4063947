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
      readonly marker: string;
    }
  /** The server's own HTTP port: `GET|PUT <url>/<upload id>/<index>` with a bearer token. */
  | { readonly kind: 'proxied'; readonly url: string; readonly readToken: string; readonly expiresAtMs: number };

/** The key of the object that names a namespace's store: `namespace.json`, holding the marker. */
export const NAMESPACE_MARKER_KEY = 'namespace.json';

export interface AccessResult {
  /** In order of preference; never empty. */
  readonly ways: readonly BlockAccess[];
  readonly blockBytes: number;
  readonly inlineBytesMax: number;
}
