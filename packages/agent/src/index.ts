export {
  PLANE_READ_BYTES_MAX,
  type Plane,
  type PlaneBody,
  type PlaneCard,
  type PlaneEntry,
  type PlaneOptions,
  type PlanePage,
} from './plane.js';
export { VERBS, callVerb, runVerb, type VerbAnswer, type VerbInput, type VerbResult } from './verb-list.js';
export { VERB_NAMES, parseInput, type Verb, type VerbName } from './verb.js';
export { BUDGET_DEFAULT, type Budget, type StopReason, type VerbContext } from './budget.js';
export { formatEvidence, isEvidenceUri, parseEvidence, type Evidence, type EvidencePart } from './evidence-uri.js';
export { cardOf, type Card } from './card.js';
export { FIELDS, type Field } from './fields.js';
export { nearNames } from './near-names.js';
export { inputJsonSchema, outputJsonSchema, type JsonSchema } from './json-schema.js';
export { isBelow, jailPlane } from './jail-plane.js';
export { oneLine } from './answer.js';
