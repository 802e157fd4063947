/** The AWS SDK, loaded only where it is needed: it is large, and stores with keys in the environment hardly use it. */

export type AwsSdk = typeof import('@aws-sdk/client-s3');

export function loadAwsSdk(): Promise<AwsSdk> {
  // The SDK prints a notice to stderr on Node 20 that no user of ours can act on; this variable is its only switch.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  return import('@aws-sdk/client-s3');
}
