import { defineConfig } from 'vitest/config';

/** Some need services that only the long run installs. */
const isLong = process.env['NOKV_TEST_LONG'] === '1';

export default defineConfig({
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/dist/**', '**/node_modules/**', ...(isLong ? [] : ['**/*.long.test.ts'])],
    setupFiles: ['test/set-up/property-seed.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
