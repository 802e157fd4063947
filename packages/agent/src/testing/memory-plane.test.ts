import { systemClock } from '@nokv/types';
import { MemoryPlane } from './memory-plane.js';
import { planeConformance } from './plane-conformance.js';

planeConformance('memory', async () => {
  const plane = new MemoryPlane(systemClock);
  plane.mkdir('/conformance');
  return {
    plane,
    base: '/conformance',
    mkdir: async (path) => plane.mkdir(path),
    write: async (path, body, options) => plane.write(path, body, options),
    symlink: async (path, target) => plane.symlink(path, target),
    remove: async (path) => plane.remove(path),
  };
});
