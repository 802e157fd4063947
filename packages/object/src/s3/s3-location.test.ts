import { describe, expect, test } from 'vitest';
import { isNokvError } from '@nokv/types';
import { describeS3, parseS3Url } from './s3-location.js';

describe('parseS3Url', () => {
  test('everything may be said in the URL', () => {
    expect(parseS3Url('s3://bucket/a/b/?endpoint=http://127.0.0.1:7480&region=eu-west-3&pathStyle=false')).toEqual({
      endpoint: 'http://127.0.0.1:7480',
      region: 'eu-west-3',
      bucket: 'bucket',
      prefix: 'a/b',
      pathStyle: false,
    });
  });

  test('what is left out comes from the environment, else from Amazon', () => {
    expect(parseS3Url('s3://bucket')).toEqual({
      endpoint: 'https://s3.us-east-1.amazonaws.com',
      region: 'us-east-1',
      bucket: 'bucket',
      prefix: '',
      pathStyle: false,
    });
    expect(parseS3Url('s3://bucket/p', { AWS_REGION: 'ap-south-1', AWS_ENDPOINT_URL_S3: 'https://s3.test:9000/' })).toMatchObject({
      endpoint: 'https://s3.test:9000',
      region: 'ap-south-1',
      pathStyle: true,
    });
    expect(parseS3Url('s3://with.dots')).toMatchObject({ pathStyle: true });
    expect(parseS3Url('s3://bucket', { AWS_CA_BUNDLE: '/etc/ours.pem' })).toMatchObject({ caFile: '/etc/ours.pem' });
  });

  test('storage class, encryption and certificates are options', () => {
    expect(parseS3Url('s3://bucket?storageClass=STANDARD_IA&sse=AES256&ca=/etc/ours.pem')).toMatchObject({
      storageClass: 'STANDARD_IA',
      encryption: 'AES256',
      caFile: '/etc/ours.pem',
    });
    expect(parseS3Url('s3://bucket?sse=aws:kms:dsse&sseKmsKeyId=alias/nokv')).toMatchObject({
      encryption: 'aws:kms:dsse',
      kmsKeyId: 'alias/nokv',
    });
    expect(parseS3Url('s3://bucket?sseKmsKeyId=arn:aws:kms:eu-west-3:1:key/2')).toMatchObject({ encryption: 'aws:kms' });
  });

  test.each([
    's3:bucket',
    's3:///p',
    'http://bucket/p',
    's3://B_CKET/p',
    's3://ab',
    's3://bucket/a//b',
    's3://bucket/a/%2e%2e/b%20c',
    `s3://bucket/${'x/'.repeat(200)}`,
    's3://bucket?endpoint=127.0.0.1:9000',
    's3://bucket?endpoint=ftp://host',
    's3://bucket?endpoint=http://host/path',
    's3://bucket?pathStyle=yes',
    's3://bucket?storageClass=cold storage',
    's3://bucket?sse=rot13',
    's3://bucket?sse=AES256&sseKmsKeyId=k',
    's3://bucket?sseKmsKeyId=a%0Ab',
    's3://bucket?ca=ours.pem',
    's3://bucket?region=no%20where',
    's3://bucket?surprise=1',
    'nonsense',
  ])('%s is bad-configuration', (url) => {
    expect(() => parseS3Url(url)).toThrow(
      expect.objectContaining({ code: 'bad-configuration', message: expect.stringContaining('expected s3://bucket') }),
    );
  });

  test('keys in the URL are refused and not repeated', () => {
    try {
      parseS3Url('s3://user:hush@bucket/p');
      expect.unreachable();
    } catch (error) {
      expect(isNokvError(error, 'bad-configuration') && !error.message.includes('hush')).toBe(true);
    }
  });

  test('a store is described by bucket, prefix and endpoint', () => {
    expect(describeS3(parseS3Url('s3://bucket/p?endpoint=http://h:1'))).toBe('s3://bucket/p at http://h:1');
  });
});
