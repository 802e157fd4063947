/** Labels of a file (`put --tag k=v`): extended attributes below a prefix of their own. */
const PREFIX = 'user.tag.';

export function tagXattrs(tags: readonly (readonly [key: string, value: string])[]): Readonly<Record<string, string>> {
  return Object.fromEntries(tags.map(([key, value]) => [`${PREFIX}${key}`, value]));
}

/** The key of a tag, if the attribute is one. */
export function tagOfXattr(name: string): string | undefined {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : undefined;
}
