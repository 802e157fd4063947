import { planeConformance } from '@nokv/agent/testing';
import type { Plane } from '@nokv/agent';
import { wirePlane, type NokvClient } from '@nokv/client';
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

/** Each answer comes from a snapshot of its own, taken before a change that it must not show. */
function pastPlane(client: NokvClient): Plane {
  let changes = 0;
  const frozen = async (): Promise<Plane> => {
    const { pin } = await client.snapshots.create('/', { ttlMs: 60_000 });
    changes += 1;
    await client.put(`/conformance/!later-${changes}`, 'not there yet');
    await client.chmod('/conformance', changes % 2 === 0 ? 0o755 : 0o711);
    await client.remove(`/conformance/!later-${changes}`);
    return wirePlane(client, { at: { snapshot: pin.id } });
  };
  return {
    stat: async (path, options) => (await frozen()).stat(path, options),
    list: async (path, options) => (await frozen()).list(path, options),
    open: async (path, options) => (await frozen()).open(path, options),
  };
}

planeConformance('at snapshots, over the wire', async () => {
  const fixture = await startClientFixture();
  const { client } = fixture;
  await client.mkdir('/conformance');
  return {
    plane: pastPlane(client),
    base: '/conformance',
    mkdir: async (path) => void (await client.mkdir(path)),
    write: async (path, body, options = {}) => (await client.put(path, body, options)).generation,
    symlink: async (path, target) => void (await client.symlink(target, path)),
    remove: async (path) => void (await client.remove(path)),
    close: () => fixture.close(),
  };
});
