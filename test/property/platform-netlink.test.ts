// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  emitNetlinkMessage,
  netlinkMessageLength,
  parseAttributes,
  parseNetlinkMessages,
} from '../../src/platform/linux/netlink/message.ts';
import {
  parseInterfaceAddress,
  parseLink,
  parseNeighbour,
  parseRoute,
} from '../../src/platform/linux/netlink/rtnetlink.ts';

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const attributes = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 0x3fff }), bytes(40)), {
  maxLength: 6,
  selector: ([type]) => type,
});
const message = fc.record(
  {
    type: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.integer({ min: 0, max: 0xffff }),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    // The fixed structures of rtnetlink are multiples of four bytes long.
    fixed: fc.uint8Array({ minLength: 0, maxLength: 8 }).map((value) => value.subarray(0, value.length & ~3)),
  },
  { noNullPrototype: true },
);
const parsers = { parseLink, parseInterfaceAddress, parseRoute, parseNeighbour };

describe('netlink', () => {
  test('what is emitted is parsed back', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(message, attributes), { maxLength: 4 }), (written) => {
        const buffer = new Uint8Array(4096).fill(0xa5);
        let end = 0;
        for (const [header, list] of written) {
          const length = emitNetlinkMessage(header, list, buffer, end);
          assert.equal(length, netlinkMessageLength(header.fixed, list));
          end += length;
        }
        assert.ok(buffer.subarray(end).every((byte) => byte === 0xa5));
        const parsed = parseNetlinkMessages(buffer.subarray(0, end));
        assert.ok(parsed.ok);
        const read = parsed.value.map(({ type, flags, sequence, payload }, i) => {
          const fixed = payload.slice(0, written[i]![0].fixed.length);
          const values = parseAttributes(payload, fixed.length);
          assert.ok(values.ok);
          return [
            { type, flags, sequence, fixed },
            [...values.value].map(([number, value]) => [number, value.slice()]),
          ];
        });
        assert.deepEqual(read, written);
      }),
    );
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(bytes(200), (input) => {
        parseNetlinkMessages(input);
        for (const parse of Object.values(parsers)) parse(input);
      }),
      { numRuns: 2000 },
    );
  });

  test('a valid structure with random attributes never throws', () => {
    const family = fc.constantFrom(2, 10);
    fc.assert(
      fc.property(family, bytes(16), attributes, (number, rest, list) => {
        const fixed = new Uint8Array(16);
        fixed.set(rest);
        fixed[0] = number;
        for (const parse of Object.values(parsers)) {
          const length = parse === parseLink ? 16 : parse === parseInterfaceAddress ? 8 : 12;
          const low = list.map(([type, value]) => [type % 20, value] as const);
          const buffer = new Uint8Array(1024);
          const end = emitNetlinkMessage(
            { type: 1, flags: 0, sequence: 0, fixed: fixed.subarray(0, length) },
            low,
            buffer,
            0,
          );
          parse(buffer.subarray(16, end));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('what is cut off is refused with its reason', () => {
    const buffer = new Uint8Array(64);
    const length = emitNetlinkMessage({ type: 1, flags: 0, sequence: 1, fixed: new Uint8Array(4) }, [], buffer, 0);
    const reasons = [
      parseNetlinkMessages(buffer.subarray(0, 10)),
      parseNetlinkMessages(buffer.subarray(0, length - 1)),
      parseAttributes(Uint8Array.of(1, 2, 3), 0),
      parseAttributes(Uint8Array.of(2, 0, 1, 0), 0),
      parseRoute(new Uint8Array(11)),
      parseRoute(new Uint8Array(12)),
      parseLink(new Uint8Array(16)),
    ].map((result) => (result.ok ? 'accepted' : result.reason));
    assert.deepEqual(reasons, [
      'headerTruncated',
      'lengthOutOfBounds',
      'headerTruncated',
      'lengthOutOfBounds',
      'structureTruncated',
      'otherFamily',
      'attributeMissing',
    ]);
  });
});
