// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32 } from '../../src/lib/bytes.ts';

export const bodyReasons = [
  'bodyNotMessagePack',
  'bodyNotArray',
  'bodyTooMany',
  'bodyTooDeep',
  'bodyExotic',
  'bodyTruncated',
  'bodyTrailing',
] as const;
export type BodyReason = (typeof bodyReasons)[number];

/** No message has more. */
export const bodyFieldsMax = 8;

/**
 * Walks a body without decoding it: one flat array of at most `bodyFieldsMax` unsigned integers (up to 32 bits) and
 * binary strings, and nothing behind it. msgpackr's extensions cannot be switched off (they live in a table that all
 * its decoders share: records that compile functions, references, regular expressions, errors, typed arrays), its
 * reader recurses with the nesting of its input, and its error message contains the unfinished value as a string. A
 * body that passes this check can reach none of that.
 */
export function checkBody(body: Uint8Array): BodyReason | undefined {
  if (body.length === 0) return 'bodyTruncated';
  const root = body[0]!;
  if (root === 0xc1) return 'bodyNotMessagePack';
  let offset = 1;
  let fields = root & 0x0f;
  if (root === 0xdc || root === 0xdd) {
    offset += root === 0xdc ? 2 : 4;
    if (offset > body.length) return 'bodyTruncated';
    fields = root === 0xdc ? readU16(body, 1) : readU32(body, 1);
  } else if (root < 0x90 || root > 0x9f) {
    return 'bodyNotArray';
  }
  if (fields > bodyFieldsMax) return 'bodyTooMany';
  for (let field = 0; field < fields; field += 1) {
    if (offset >= body.length) return 'bodyTruncated';
    const token = body[offset]!;
    const length = fieldLength(body, offset, token);
    if (typeof length === 'string') return length;
    offset += length;
  }
  if (offset > body.length) return 'bodyTruncated';
  return offset < body.length ? 'bodyTrailing' : undefined;
}

/** The length of one field in bytes, token included. The field may extend beyond the end: the caller checks that. */
function fieldLength(body: Uint8Array, offset: number, token: number): number | BodyReason {
  if (token < 0x80) return 1;
  if (token < 0xa0) return 'bodyTooDeep';
  switch (token) {
    case 0xc1:
      return 'bodyNotMessagePack';
    case 0xc4:
      return offset + 1 < body.length ? 2 + body[offset + 1]! : 'bodyTruncated';
    case 0xc5:
      return offset + 2 < body.length ? 3 + readU16(body, offset + 1) : 'bodyTruncated';
    case 0xc6:
      return offset + 4 < body.length ? 5 + readU32(body, offset + 1) : 'bodyTruncated';
    case 0xcc:
      return 2;
    case 0xcd:
      return 3;
    case 0xce:
      return 5;
    case 0xdc:
    case 0xdd:
    case 0xde:
    case 0xdf:
      return 'bodyTooDeep';
    default:
      return 'bodyExotic';
  }
}
