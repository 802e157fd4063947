import { describe, expect, it } from 'vitest';
import { makeUploadId, systemRandom } from '@nokv/types';
import { makeTickets } from './tickets.js';

const key = systemRandom.bytes(32);
const tickets = makeTickets(key);
const upload = makeUploadId(1, systemRandom.bytes(10));
const other = makeUploadId(2, systemRandom.bytes(10));

describe('tickets', () => {
  it('are good for their upload until they expire', () => {
    const ticket = tickets.uploadTicket(upload, 1000);
    tickets.checkUploadTicket(ticket, upload, 999);
    expect(() => tickets.checkUploadTicket(ticket, upload, 1000)).toThrow(/expired/);
    expect(() => tickets.checkUploadTicket(ticket, other, 999)).toThrow(expect.objectContaining({ code: 'bad-token' }));
  });

  it('are refused with any one byte altered, added or left out', () => {
    const ticket = tickets.uploadTicket(upload, 1000);
    const refused = (altered: string) =>
      expect(() => tickets.checkUploadTicket(altered, upload, 1)).toThrow(expect.objectContaining({ code: 'bad-token' }));
    for (let at = 0; at < ticket.length; at++) {
      for (let code = 0x20; code < 0x7f; code++) {
        const char = String.fromCharCode(code);
        if (ticket[at] !== char) refused(ticket.slice(0, at) + char + ticket.slice(at + 1));
      }
      refused(ticket.slice(0, at) + ticket.slice(at + 1));
      refused(`${ticket.slice(0, at)}0${ticket.slice(at)}`);
    }
    refused(`${ticket}0`);
    tickets.checkUploadTicket(ticket, upload, 1);
  });

  it('do not read, and read tokens do not write', () => {
    expect(() => tickets.checkReadToken(tickets.uploadTicket(upload, 1000), 1)).toThrow(/something else/);
    expect(() => tickets.checkUploadTicket(tickets.readToken(1000), upload, 1)).toThrow(/something else/);
    tickets.checkReadToken(tickets.readToken(1000), 1);
  });

  it('of another key are refused, and so is none at all', () => {
    const ticket = makeTickets(systemRandom.bytes(32)).uploadTicket(upload, 1000);
    expect(() => tickets.checkUploadTicket(ticket, upload, 1)).toThrow(/not signed here/);
    expect(() => tickets.checkUploadTicket(undefined, upload, 1)).toThrow(/found none/);
  });
});
