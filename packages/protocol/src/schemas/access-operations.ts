/** How blocks are reached: the ways that a server offers, and the URLs that it signs. */
import {
  BLOCK_BYTES_DEFAULT,
  PRESIGN_BLOCKS_MAX,
  S3_ENCRYPTIONS,
  UPLOAD_BLOCKS_MAX,
  type AccessResult,
  type BlockAccess,
  type BlockToPut,
  type PresignGetsArgs,
  type PresignResult,
  type SignedRequest,
} from '@nokv/types';
import { boolean, choice, int, list, object, optional, tagged, text } from '../schema.js';
import { service } from './definition.js';
import { count, label, upload } from './values.js';

type WayFields<Kind extends BlockAccess['kind']> = Omit<Extract<BlockAccess, { readonly kind: Kind }>, 'kind'>;

const TOKEN_BYTES_MAX = 8192;
/** With a session token in it a signed URL has some 2,500 bytes. */
const SIGNED_URL_BYTES_MAX = 8192;
const SIGNED_HEADERS_MAX = 32;
const CRC32C_MAX = 0xffff_ffff;

const token = text(TOKEN_BYTES_MAX);
const signedUrl = text(SIGNED_URL_BYTES_MAX);
const index = int(0, UPLOAD_BLOCKS_MAX - 1);

const blockAccess = tagged<BlockAccess>({
  file: object<WayFields<'file'>>({ directory: text(4096), marker: label }),
  s3: object<WayFields<'s3'>>({
    endpoint: text(2048),
    region: label,
    bucket: label,
    prefix: text(1024),
    pathStyle: boolean,
    storageClass: optional(label),
    encryption: optional(choice(S3_ENCRYPTIONS)),
    kmsKeyId: optional(text(2048)),
    marker: label,
  }),
  presigned: object<WayFields<'presigned'>>({
    description: text(4096),
    markerUrl: signedUrl,
    marker: label,
    readToken: token,
    expiresAtMs: count,
  }),
  proxied: object<WayFields<'proxied'>>({ url: text(2048), readToken: token, expiresAtMs: count }),
});

const presignResult = object<PresignResult>({
  requests: list(
    object<SignedRequest>({
      url: signedUrl,
      headers: list(object<SignedRequest['headers'][number]>({ name: label, value: text(SIGNED_URL_BYTES_MAX) }), SIGNED_HEADERS_MAX),
      expiresAtMs: count,
    }),
    PRESIGN_BLOCKS_MAX,
  ),
});

export const accessDefinitions = {
  access: service('access', 96, {}, object<AccessResult>({ ways: list(blockAccess, 16), blockBytes: count, inlineBytesMax: count })),
  'presign-puts': service(
    'presign-puts',
    100,
    {
      upload,
      ticket: token,
      blocks: list(object<BlockToPut>({ index, length: int(1, BLOCK_BYTES_DEFAULT), crc32c: int(0, CRC32C_MAX) }), PRESIGN_BLOCKS_MAX),
    },
    presignResult,
  ),
  'presign-gets': service(
    'presign-gets',
    101,
    { readToken: token, blocks: list(object<PresignGetsArgs['blocks'][number]>({ upload, index }), PRESIGN_BLOCKS_MAX) },
    presignResult,
  ),
};
