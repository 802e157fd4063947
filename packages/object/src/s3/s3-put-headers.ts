/** What every put of an object says besides its bytes and their checksum, however it is sent. */
import type { S3Location } from './s3-location.js';

export function putHeaders({ storageClass, encryption, kmsKeyId }: S3Location): Record<string, string> {
  return {
    'if-none-match': '*',
    'content-type': 'application/octet-stream',
    ...(storageClass === undefined ? {} : { 'x-amz-storage-class': storageClass }),
    ...(encryption === undefined ? {} : { 'x-amz-server-side-encryption': encryption }),
    ...(kmsKeyId === undefined ? {} : { 'x-amz-server-side-encryption-aws-kms-key-id': kmsKeyId }),
  };
}
