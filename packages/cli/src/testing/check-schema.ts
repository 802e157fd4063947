/** Holds what `--json` printed against the schema that the package ships. */
import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });
const compiled = new Map<string, ValidateFunction>();

/** Throws with every violation; `name` is that of a file in `schema/`, without `.json`. */
export function checkSchema(name: string, found: unknown): void {
  const validate =
    compiled.get(name) ?? ajv.compile(JSON.parse(readFileSync(new URL(`../../schema/${name}.json`, import.meta.url), 'utf8')));
  compiled.set(name, validate);
  if (!validate(found)) throw new Error(`not a "${name}": ${ajv.errorsText(validate.errors)}\n${JSON.stringify(found)}`);
}
