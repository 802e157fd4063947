/**
 * Signed grants for the HTTP block routes: a ticket lets its bearer put blocks of one upload, a read token get any block,
 * both until they expire. `<kind>.<subject>.<expiry ms>.<HMAC-SHA256, base64url>`; the signature covers the rest.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { NokvError, uploadId, type UploadId } from '@nokv/types';

export interface Tickets {
  uploadTicket(upload: UploadId, expiresAtMs: number): string;
  readToken(expiresAtMs: number): string;
  /** Throws `bad-token` unless the ticket was signed here for this upload and has not expired; returns when it will. */
  checkUploadTicket(ticket: string | undefined, upload: UploadId, nowMs: number): number;
  checkReadToken(token: string | undefined, nowMs: number): void;
}

type Kind = 'w1' | 'r1';
/** What a read token is for: every block of the namespace. */
const ALL = 'all';
const FORM = /^(w1|r1)\.(all|[0-9a-f]{32})\.(\d{1,16})\.([A-Za-z0-9_-]{43})$/;

/** @param key 32 secret bytes. */
export function makeTickets(key: Uint8Array): Tickets {
  const sign = (kind: Kind, subject: string, expiresAtMs: number): string => {
    const text = `${kind}.${subject}.${Math.floor(expiresAtMs)}`;
    return `${text}.${mac(key, text)}`;
  };
  return {
    uploadTicket: (upload, expiresAtMs) => sign('w1', uploadId(upload), expiresAtMs),
    readToken: (expiresAtMs) => sign('r1', ALL, expiresAtMs),
    checkUploadTicket: (ticket, upload, nowMs) => check(key, ticket, 'w1', upload, nowMs),
    checkReadToken: (token, nowMs) => void check(key, token, 'r1', ALL, nowMs),
  };
}

function check(key: Uint8Array, ticket: string | undefined, kind: Kind, subject: string, nowMs: number): number {
  if (ticket === undefined) throw refusal('found none');
  const match = FORM.exec(ticket);
  if (match === null) throw refusal('found one of another form');
  const [, foundKind, foundSubject, expires, signature] = match;
  const signed = mac(key, ticket.slice(0, ticket.lastIndexOf('.')));
  if (!timingSafeEqual(Buffer.from(signed), Buffer.from(signature ?? ''))) throw refusal('found one that was not signed here');
  if (foundKind !== kind || foundSubject !== subject) throw refusal('found one for something else');
  if (Number(expires) <= nowMs) throw refusal('found one that has expired; renew the upload or ask for access again');
  return Number(expires);
}

function mac(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text).digest('base64url');
}

function refusal(found: string): NokvError {
  return new NokvError('bad-token', `expected "authorization: Bearer <ticket>" with a valid ticket, ${found}`);
}
