/** A store by its URL. */
import { NokvError } from '@nokv/types';
import { openFileStore, type FileStoreOptions } from './file/file-object-store.js';
import type { ObjectStore } from './object-store.js';
import { openS3Store, type S3StoreOptions } from './s3/s3-object-store.js';

/** @param url `file:///dir` or `s3://bucket/prefix?endpoint=…&region=…&pathStyle=true`. */
export async function openObjectStore(url: string, options: S3StoreOptions & FileStoreOptions): Promise<ObjectStore> {
  if (url.startsWith('file:///')) return openFileStore(url, options);
  if (url.startsWith('s3://')) return openS3Store(url, options);
  throw new NokvError(
    'bad-configuration',
    `expected file:///directory or s3://bucket/prefix as object store, found ${JSON.stringify(url.slice(0, 200))}`,
  );
}
