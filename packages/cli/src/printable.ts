/**
 * Text for one line of a terminal: control characters are written `\xHH`, as in names that are typed, since they would
 * break lines apart or play tricks on the terminal.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
