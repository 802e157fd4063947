/**
 * Which package may import which. A wrong direction, an undeclared dependency or a relative import that leaves its
 * package is a finding.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ALLOWED = {
  types: [],
  protocol: ['types'],
  object: ['types'],
  meta: ['types'],
  control: ['types'],
  agent: ['types'],
  client: ['types', 'protocol', 'object', 'agent'],
  server: ['types', 'protocol', 'object', 'meta', 'control', 'agent'],
  mcp: ['types', 'agent', 'client'],
  fuse: ['types', 'agent', 'client'],
  cli: ['types', 'agent', 'client', 'mcp', 'fuse', 'server'],
  bench: ['types', 'protocol', 'object', 'meta', 'control', 'agent', 'client', 'server', 'mcp', 'fuse', 'cli'],
};

const IMPORT =
  /(?:^|[;\s])(?:import|export)\s[^'"();]*?from\s*['"]([^'"]+)['"]|(?:^|[;\s])import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** @param {string} root @returns {string[]} findings */
export function checkImports(root) {
  const findings = [];
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    const directory = join(root, 'packages', name);
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const declared = {
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
      ...manifest.peerDependencies,
    };
    for (const dependency of Object.keys(manifest.dependencies ?? {})) {
      if (dependency.startsWith('@nokv/') && !allowed.includes(dependency.slice(6)))
        findings.push(`packages/${name}/package.json depends on ${dependency}`);
    }
    for (const file of sources(join(directory, 'src'))) {
      const text = readFileSync(file, 'utf8').replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, '');
      for (const match of text.matchAll(IMPORT)) {
        const target = match[1] ?? match[2] ?? match[3];
        const where = `${relative(root, file)}: ${target}`;
        if (target.startsWith('.')) {
          if (!resolve(dirname(file), target).startsWith(join(directory, 'src'))) findings.push(`${where} leaves its package`);
        } else if (target.startsWith('@nokv/')) {
          const other = target.split('/')[1];
          if (other !== name && !allowed.includes(other)) findings.push(`${where} points the wrong way`);
        } else if (!target.startsWith('node:')) {
          const dependency = target
            .split('/')
            .slice(0, target.startsWith('@') ? 2 : 1)
            .join('/');
          const ofTests = file.endsWith('.test.ts') && ['vitest', 'fast-check'].includes(dependency);
          if (!(dependency in declared) && !ofTests) findings.push(`${where} is not declared in packages/${name}/package.json`);
        }
      }
    }
  }
  return findings;
}

function* sources(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}
