import { s3FaultConformance, startS3Double } from '../testing/index.js';

const env = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', HOME: '/nonexistent' };

for (const client of ['lean', 'sdk'] as const) {
  s3FaultConformance('the double, whose ETags are no MD5s', client, async () => {
    const double = await startS3Double();
    let prefixes = 0;
    return {
      ...double,
      env,
      get url() {
        prefixes += 1;
        return double.url.replace('/some/prefix', `/p${prefixes}`);
      },
    };
  });
}
