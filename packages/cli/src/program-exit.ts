/** Thrown where a command ends with the exit code of a program that it ran: that code is its answer, not a failure of ours. */
export class ProgramExit extends Error {
  override readonly name = 'ProgramExit';

  constructor(readonly exitCode: number) {
    super(`the program ended with ${exitCode}`);
  }
}
