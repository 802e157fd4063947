/** What every put of an object says besides its bytes, however it is sent. */
export function putHeaders(): Record<string, string> {
  return { 'if-none-match': '*', 'content-type': 'application/octet-stream' };
}
