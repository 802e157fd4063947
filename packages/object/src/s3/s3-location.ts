/**
 * `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&pathStyle=true`, and where wanted
 * `&storageClass=STANDARD_IA&sse=aws:kms&sseKmsKeyId=alias/nokv&ca=/etc/ssl/our-ca.pem`.
 */
import { NokvError, S3_ENCRYPTIONS, type S3Encryption } from '@nokv/types';
import { checkKey } from '../object-key.js';

export interface S3Location {
  /** `http(s)://host:port`, without a path. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly pathStyle: boolean;
  /** Asked for with every put; absent: what the bucket does by itself. */
  readonly storageClass?: string | undefined;
  readonly encryption?: S3Encryption | undefined;
  /** Only with one of the KMS encryptions. */
  readonly kmsKeyId?: string | undefined;
  /** A file of certificates (PEM) that are trusted besides the usual ones. */
  readonly caFile?: string | undefined;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PARAMETERS = new Set(['endpoint', 'region', 'pathStyle', 'storageClass', 'sse', 'sseKmsKeyId', 'ca']);
/** Leaves room for the longest key of ours below it (1,024 bytes are S3's limit). */
const PREFIX_BYTES_MAX = 300;

/**
 * @param env `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION` and `AWS_CA_BUNDLE` fill in what the URL
 *   leaves out.
 */
export function parseS3Url(text: string, env: Readonly<Record<string, string | undefined>> = {}): S3Location {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw badUrl(text, 'is not a URL', cause);
  }
  if (url.protocol !== 's3:') throw badUrl(text, `has the scheme ${url.protocol}`);
  if (url.username !== '' || url.password !== '' || url.hash !== '')
    throw badUrl(redacted(url), 'has a user, password or fragment; keys come from the environment or a profile');
  for (const name of url.searchParams.keys())
    if (!PARAMETERS.has(name)) throw badUrl(text, `has the unknown parameter ${JSON.stringify(name)}`);
  if (!BUCKET.test(url.host))
    throw badUrl(text, `has ${JSON.stringify(url.host)} as bucket (3 to 63 characters of a-z, 0-9, dot and dash)`);
  const region = url.searchParams.get('region') ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? 'us-east-1';
  const stated = url.searchParams.get('endpoint') ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
  const pathStyle = url.searchParams.get('pathStyle');
  if (pathStyle !== null && pathStyle !== 'true' && pathStyle !== 'false') throw badUrl(text, `has pathStyle=${pathStyle}`);
  if (!/^[a-z0-9-]{1,64}$/.test(region)) throw badUrl(text, `has the region ${JSON.stringify(region)}`);
  return {
    endpoint: stated === undefined ? `https://s3.${region}.amazonaws.com` : parseEndpoint(stated, text),
    region,
    bucket: url.host,
    prefix: parsePrefix(url.pathname, text),
    // Other servers than Amazon's rarely have a name for each bucket; and a dot in it breaks certificates.
    pathStyle: pathStyle === null ? stated !== undefined || url.host.includes('.') : pathStyle === 'true',
    ...putOptions(url.searchParams, text),
    ...caFile(url.searchParams.get('ca') ?? env['AWS_CA_BUNDLE'], text),
  };
}

function putOptions(query: URLSearchParams, whole: string): Pick<S3Location, 'storageClass' | 'encryption' | 'kmsKeyId'> {
  const storageClass = query.get('storageClass');
  const kmsKeyId = query.get('sseKmsKeyId');
  const stated = query.get('sse') ?? (kmsKeyId === null ? null : 'aws:kms');
  const encryption = S3_ENCRYPTIONS.find((name) => name === stated);
  if (storageClass !== null && !/^[A-Z0-9_]{1,64}$/.test(storageClass)) throw badUrl(whole, `has storageClass=${storageClass}`);
  if (stated !== null && encryption === undefined) throw badUrl(whole, `has sse=${stated} (one of ${S3_ENCRYPTIONS.join(', ')})`);
  if (kmsKeyId !== null && (encryption === 'AES256' || !/^[\w:/.+=@-]{1,2048}$/.test(kmsKeyId)))
    throw badUrl(whole, `has sseKmsKeyId=${kmsKeyId} (the id, ARN or alias of a key, with sse=aws:kms)`);
  return {
    ...(storageClass === null ? {} : { storageClass }),
    ...(encryption === undefined ? {} : { encryption }),
    ...(kmsKeyId === null ? {} : { kmsKeyId }),
  };
}

function caFile(path: string | undefined, whole: string): Pick<S3Location, 'caFile'> {
  if (path === undefined || path === '') return {};
  if (!path.startsWith('/')) throw badUrl(whole, `has ${JSON.stringify(path)} as file of certificates, which is no absolute path`);
  return { caFile: path };
}

/** For people; holds no secret. */
export function describeS3({ bucket, prefix, endpoint }: S3Location): string {
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`} at ${endpoint}`;
}

function parseEndpoint(text: string, whole: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw badUrl(whole, `has ${JSON.stringify(text)} as endpoint`, cause);
  }
  const plain = (url.protocol === 'http:' || url.protocol === 'https:') && url.pathname === '/' && url.search === '' && url.username === '';
  if (!plain) throw badUrl(whole, 'has an endpoint that is not http://host[:port] or https://host[:port]');
  return url.origin;
}

function parsePrefix(pathname: string, whole: string): string {
  const prefix = decodeURIComponent(pathname).replace(/^\/+|\/+$/g, '');
  if (prefix === '') return '';
  if (prefix.length > PREFIX_BYTES_MAX) throw badUrl(whole, `has a prefix of more than ${PREFIX_BYTES_MAX} bytes`);
  try {
    checkKey(prefix);
  } catch (cause) {
    throw badUrl(whole, 'has a prefix with an empty part, a dot part or other than printable ASCII', cause);
  }
  return prefix;
}

function redacted(url: URL): string {
  return `${url.protocol}//…@${url.host}${url.pathname}`;
}

function badUrl(text: string, problem: string, cause?: unknown): NokvError {
  return new NokvError(
    'bad-configuration',
    `expected s3://bucket[/prefix][?endpoint=http://host:port&region=…&pathStyle=true|false&storageClass=…&sse=…&sseKmsKeyId=…&ca=/file], found ${text}, which ${problem}`,
    { cause },
  );
}
