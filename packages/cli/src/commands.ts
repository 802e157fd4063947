/** The command table: help, parsing, completion and the reference are made from these rows. */
import { type AnyCommand, runs } from './command.js';
import { fileCommands } from './table/file-commands.js';
import { mountCommands } from './table/mount-commands.js';
import { otherCommands } from './table/other-commands.js';
import { questionCommands } from './table/question-commands.js';
import { serverCommands } from './table/server-commands.js';
import { transferCommands } from './table/transfer-commands.js';
import { watchCommands } from './table/watch-commands.js';

export const COMMANDS: readonly AnyCommand[] = [
  runs(serverCommands.serve, async () => (await import('./commands/serve.js')).serve),
  runs(transferCommands.put, async () => (await import('./commands/put.js')).put),
  runs(transferCommands.putArtifact, async () => (await import('./commands/put-artifact.js')).putArtifact),
  runs(transferCommands.get, async () => (await import('./commands/get.js')).get),
  runs(transferCommands.cat, async () => (await import('./commands/cat.js')).cat),
  runs(transferCommands.head, async () => (await import('./commands/head-tail.js')).head),
  runs(transferCommands.tail, async () => (await import('./commands/head-tail.js')).tail),
  runs(transferCommands.ls, async () => (await import('./commands/ls.js')).ls),
  runs(transferCommands.tree, async () => (await import('./commands/tree.js')).tree),
  runs(transferCommands.du, async () => (await import('./commands/tree.js')).du),
  runs(transferCommands.stat, async () => (await import('./commands/stat.js')).stat),
  runs(fileCommands.mkdir, async () => (await import('./commands/namespace.js')).mkdir),
  runs(fileCommands.rm, async () => (await import('./commands/namespace.js')).rm),
  runs(fileCommands.rmdir, async () => (await import('./commands/namespace.js')).rmdir),
  runs(fileCommands.mv, async () => (await import('./commands/namespace.js')).mv),
  runs(fileCommands.cp, async () => (await import('./commands/cp.js')).cp),
  runs(fileCommands.ln, async () => (await import('./commands/namespace.js')).ln),
  runs(fileCommands.readlink, async () => (await import('./commands/namespace.js')).readlink),
  runs(fileCommands.chmod, async () => (await import('./commands/namespace.js')).chmod),
  runs(fileCommands.chown, async () => (await import('./commands/namespace.js')).chown),
  runs(fileCommands.touch, async () => (await import('./commands/namespace.js')).touch),
  runs(fileCommands.xattrGet, async () => (await import('./commands/xattr.js')).xattrGet),
  runs(fileCommands.xattrSet, async () => (await import('./commands/xattr.js')).xattrSet),
  runs(fileCommands.xattrList, async () => (await import('./commands/xattr.js')).xattrList),
  runs(fileCommands.xattrRm, async () => (await import('./commands/xattr.js')).xattrRm),
  runs(watchCommands.watch, async () => (await import('./commands/watch.js')).watch),
  runs(questionCommands.catalog, async () => (await import('./commands/questions.js')).catalog),
  runs(questionCommands.find, async () => (await import('./commands/questions.js')).find),
  runs(questionCommands.aggregate, async () => (await import('./commands/questions.js')).aggregate),
  runs(questionCommands.grep, async () => (await import('./commands/questions.js')).grep),
  runs(questionCommands.read, async () => (await import('./commands/questions.js')).read),
  runs(questionCommands.mcp, async () => (await import('./commands/mcp.js')).mcp),
  runs(mountCommands.mount, async () => (await import('./commands/mount.js')).mount),
  runs(mountCommands.umount, async () => (await import('./commands/mount.js')).umount),
  runs(mountCommands.mountList, async () => (await import('./commands/mount.js')).mountList),
  runs(otherCommands.configShow, async () => (await import('./commands/config-show.js')).configShow),
  runs(otherCommands.doctor, async () => (await import('./commands/doctor.js')).doctor),
  runs(otherCommands.help, async () => (await import('./commands/help.js')).help),
  runs(otherCommands.version, async () => (await import('./commands/version.js')).version),
];
