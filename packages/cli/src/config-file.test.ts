import { isNokvError } from '@nokv/types';
import { describe, expect, it } from 'vitest';
import { findMistake, parseConfig } from './config-file.js';

const KEYS = ['server', 'timeout', 'data'];
const refused = (text: string) => {
  try {
    parseConfig(text, '/etc/nokv.json', KEYS);
  } catch (error) {
    if (isNokvError(error, 'bad-configuration')) return error.message;
    throw error;
  }
  return 'accepted';
};

describe('the configuration file', () => {
  it('gives the texts of its settings', () => {
    expect(parseConfig('{"server": "h:1", "timeout": "5s"}', 'f', KEYS)).toEqual({ server: 'h:1', timeout: '5s' });
  });

  it.each([
    ['{\n  "server": "h:1",\n  "timeout" "5s"\n}', '/etc/nokv.json:3:13: not valid JSON: unexpected "\\""'],
    ['{"server": "h:1",}', '/etc/nokv.json:1:18: not valid JSON: unexpected "}"'],
    ['{"server": tru}', '/etc/nokv.json:1:15: not valid JSON: unexpected "}"'],
    ['{"server": "h:1"', '/etc/nokv.json:1:17: not valid JSON: it ends too early'],
    ['', '/etc/nokv.json:1:1: not valid JSON: it ends too early'],
    ["{'server': 1}", '/etc/nokv.json:1:2: not valid JSON: unexpected "\'"'],
  ])('names line and column of the mistake in %j', (text, message) => {
    expect(refused(text)).toBe(message);
  });

  it('refuses what is no object, unknown settings and values that are no text', () => {
    expect(refused('[1]')).toMatch(/expected one JSON object.*found an array/);
    expect(refused('{\n "sever": "h:1"}')).toBe('/etc/nokv.json:2:2: unknown setting "sever" (did you mean server?)');
    expect(refused('{"server": {"host": 1}}')).toMatch(/:1:2: expected text for "server", found an object/);
  });

  it('faults a document that was cut at its end, at every cut', () => {
    const text = '{"a":[1,-2.5e+3,true,false,null,"x\\u00e9\\n"],"b":{"c":{}},"d":[]} ';
    for (let end = 0; end <= text.length; end++) {
      const cut = text.slice(0, end);
      // A document that merely ends too early is faulted at its end, never inside.
      expect(findMistake(cut)).toBe(end);
    }
  });
});
