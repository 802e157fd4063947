import { planeConformance } from '@nokv/agent/testing';
import { wirePlane } from '@nokv/client';
import { startClientFixture } from './client-fixture.js';

planeConformance('over the wire', async () => {
  const fixture = await startClientFixture();
  const { client } = fixture;
  await client.mkdir('/conformance');
  return {
    plane: wirePlane(client),
    base: '/conformance',
    mkdir: async (path) => void (await client.mkdir(path)),
    write: async (path, body, options = {}) => (await client.put(path, body, options)).generation,
    symlink: async (path, target) => void (await client.symlink(target, path)),
    remove: async (path) => void (await client.remove(path)),
    close: () => fixture.close(),
  };
});
