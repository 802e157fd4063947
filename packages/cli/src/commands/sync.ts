/** `import` and `export`: a tree made like another, entry by entry, across the line between this machine and the namespace. */
import { resolve } from 'node:path';
import type { SyncOptions, SyncReport, TreeChange } from '@nokv/client';
import { NokvError } from '@nokv/types';
import { addressOf, atOf } from '../address.js';
import type { CallOf } from '../command.js';
import { connectClient, transferOptions } from '../connection.js';
import { printable } from '../printable.js';
import { progressBar, type ProgressBar } from '../progress-bar.js';
import { remotePath, showPath } from '../remote-path.js';
import type { treeCommands } from '../table/tree-commands.js';
import { treeCounts } from '../tree-counts.js';
import { archiveFormat, importArchive } from './archive.js';

type Import = CallOf<typeof treeCommands.importTree>;
type Export = CallOf<typeof treeCommands.exportTree>;

/** Failures that are told one by one; the report with `--json` has more of them. */
const FAILURES_TOLD_MAX = 20;

export async function importTree(call: Import): Promise<void> {
  const { args, flags, io } = call;
  const format = archiveFormat(args.source, flags.format);
  if (format !== undefined) return await importArchive(call, format);
  const path = remotePath(args.destination);
  await using client = await connectClient(call);
  using bar = progressBar(io, call.output, 'import', flags.progress);
  const report = await client.importTree(resolve(io.cwd, args.source), path, {
    ...syncOptions(call, bar),
    ...(flags.owner === undefined ? {} : { owner: flags.owner }),
    specialFiles: flags.skipSpecial ? 'skip' : 'keep',
    producer: flags.producer,
    compress: flags.compress,
  });
  bar[Symbol.dispose]();
  await tell(call, showPath(path), report);
}

export async function exportTree(call: Export): Promise<void> {
  const { args, flags, io } = call;
  const address = addressOf(call, args.source);
  const local = resolve(io.cwd, args.destination);
  await using client = await connectClient(call);
  const at = await atOf(call, client, address);
  using bar = progressBar(io, call.output, 'export', flags.progress);
  const options = { ...syncOptions(call, bar), ...(flags.noOwner ? { owners: false } : {}) };
  const report = await client.exportTree(address.path, local, at === undefined ? options : { ...options, at });
  bar[Symbol.dispose]();
  await tell(call, local, report);
}

function syncOptions(call: Import | Export, bar: ProgressBar): SyncOptions {
  const { flags, output } = call;
  const { jobs, checksum, delete: deletes, dryRun, include, exclude } = flags;
  const onChange = dryRun || output.verbose ? { onChange: (change: TreeChange) => tellChange(call, change) } : {};
  return {
    ...transferOptions(call),
    jobs,
    checksum,
    delete: deletes,
    dryRun,
    include,
    exclude,
    onProgress: (progress) => bar.update(progress),
    ...onChange,
  };
}

async function tellChange({ output }: Import | Export, change: TreeChange): Promise<void> {
  if (output.json) await output.object({ event: 'change', ...change });
  else
    await output.line(`${change.action.padEnd('attributes'.length)}  ${printable(change.path)}${change.type === 'directory' ? '/' : ''}`);
}

/** What was done; that some entries failed is the command's failure, told after what the others came to. */
export async function tell(
  {
    command,
    flags,
    output,
  }: { readonly command: string; readonly flags: { readonly dryRun?: boolean }; readonly output: Import['output'] },
  destination: string,
  report: SyncReport,
): Promise<void> {
  const { unchanged, attributes, deleted, failed, failures } = report;
  for (const { path, reason } of report.skipped) output.note(`nokv: ${command}: left out ${printable(path)}: ${reason}`);
  const more = [
    ...(attributes === 0 ? [] : [`${attributes} with new attributes`]),
    ...(deleted === 0 ? [] : [`${deleted} deleted`]),
    `${unchanged} unchanged`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
  ];
  const dry = flags.dryRun === true ? ' (dry run: nothing was changed)' : '';
  await output.result(
    { destination, dryRun: flags.dryRun === true, ...report },
    `${printable(destination)}  ${treeCounts(report)}; ${more.join(', ')}${dry}`,
  );
  const [first] = failures;
  if (first === undefined) return;
  if (!output.json)
    for (const { path, message } of failures.slice(0, FAILURES_TOLD_MAX))
      output.note(`nokv: ${command}: ${printable(path)}: ${printable(message)}`);
  const others = failed > FAILURES_TOLD_MAX ? ` (the first ${FAILURES_TOLD_MAX} are listed)` : '';
  throw new NokvError(first.code, `${failed} ${failed === 1 ? 'entry' : 'entries'} failed${others}; everything else was moved`, {
    details: { failed },
  });
}
