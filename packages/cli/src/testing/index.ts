export { checkSchema } from './check-schema.js';
export { capturedIo, type CapturedIo } from './captured-io.js';
