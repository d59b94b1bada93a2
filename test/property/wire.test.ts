// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ipAddressFromBytes } from '../../src/lib/ip-address.ts';
import { parseArp } from '../../src/wire/arp.ts';
import { parseEthernet } from '../../src/wire/ethernet.ts';
import { parseIcmp } from '../../src/wire/icmp.ts';
import { writeIcmpv6Checksum } from '../../src/wire/icmpv6.ts';
import { emitIpv4, type Ipv4Header, ipv4Length, parseIpv4 } from '../../src/wire/ipv4.ts';
import { parseIpv6 } from '../../src/wire/ipv6.ts';
import { emptyIpv6Transport, locateIpv6Transport } from '../../src/wire/ipv6-extensions.ts';
import { parseNeighbourSolicitation } from '../../src/wire/ndp.ts';
import { emitTcp, parseTcp, tcpLength } from '../../src/wire/tcp.ts';
import { parseUdp } from '../../src/wire/udp.ts';

const parsers = { parseEthernet, parseArp, parseIpv4, parseTcp, parseUdp, parseIcmp, parseIpv6 };
const address = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => ipAddressFromBytes(bytes));
const options = fc.integer({ min: 0, max: 10 }).chain((n) => fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n }));
const port = fc.integer({ min: 0, max: 0xffff });
const word = fc.integer({ min: 0, max: 0xffff_ffff });

test('random bytes are parsed or refused with a reason, never thrown at', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 128 }), fc.nat(16), (bytes, skip) => {
      const before = Uint8Array.from(bytes);
      for (const parse of Object.values(parsers)) {
        const result = parse(bytes, Math.min(skip, bytes.length));
        assert.equal(typeof (result.ok ? result.value : result.reason), result.ok ? 'object' : 'string');
      }
      assert.deepEqual(bytes, before);
    }),
    { numRuns: 2000 },
  );
});

test('an IPv4 header survives emitting and parsing', () => {
  const header: fc.Arbitrary<Ipv4Header> = fc
    .record(
      {
        trafficClass: fc.nat(255),
        identification: fc.nat(0xffff),
        dontFragment: fc.boolean(),
        moreFragments: fc.boolean(),
        fragmentOffset: fc.nat(0x1fff).map((units) => units * 8),
        ttl: fc.nat(255),
        protocol: fc.nat(255),
        source: address,
        destination: address,
        options,
      },
      { noNullPrototype: true },
    )
    .map((fields) => ({ ...fields, totalLength: ipv4Length(fields) }));
  fc.assert(
    fc.property(header, (value) => {
      const buffer = new Uint8Array(ipv4Length(value)).fill(0xa5);
      emitIpv4(value, buffer, 0);
      assert.deepEqual(parseIpv4(buffer), { ok: true, value });
    }),
  );
});

test('a TCP header survives emitting and parsing', () => {
  const header = fc.record(
    {
      sourcePort: port,
      destinationPort: port,
      sequence: word,
      acknowledgement: word,
      flags: fc.nat(255),
      window: port,
      checksum: port,
      urgentPointer: port,
      options,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(header, (value) => {
      const buffer = new Uint8Array(tcpLength(value)).fill(0xa5);
      emitTcp(value, buffer, 0);
      assert.deepEqual(parseTcp(buffer), { ok: true, value });
    }),
  );
});

test('a chain of extension headers is walked to its end or refused, and nothing behind the packet is read', () => {
  const chain = fc.array(fc.constantFrom(0, 43, 44, 51, 60, 6, 59), { maxLength: 12 });
  fc.assert(
    fc.property(chain, fc.uint8Array({ maxLength: 200 }), fc.nat(160), (headers, noise, length) => {
      const packet = new Uint8Array(40 + length);
      packet.set(noise.subarray(0, packet.length));
      packet[6] = headers[0] ?? 6;
      for (let i = 1; i < headers.length; i += 1) {
        if (40 + i * 8 - 8 < packet.length) packet[40 + i * 8 - 8] = headers[i]!;
      }
      const walk = (bytes: Uint8Array): unknown => {
        const found = emptyIpv6Transport();
        const fault = locateIpv6Transport(bytes, 0, packet.length, found);
        if (fault === undefined) assert.ok(found.offset >= 40 && found.offset <= packet.length);
        return fault ?? found;
      };
      const beside = new Uint8Array(packet.length + 64).fill(0xff);
      beside.set(packet);
      assert.deepEqual(walk(beside), walk(packet));
    }),
    { numRuns: 3000 },
  );
});

test('a neighbour solicitation of random bytes is parsed or refused with a reason', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 40, maxLength: 160 }), fc.boolean(), (packet, honest) => {
      if (honest && packet.length >= 72) {
        packet[7] = 255;
        packet.set([135, 0], 40);
        writeIcmpv6Checksum(packet, 0, 40, packet.length - 40);
      }
      const result = parseNeighbourSolicitation(packet, 0, 40, packet.length - 40);
      if (result.ok && result.value.sourceMac !== undefined) assert.equal(result.value.sourceMac.length, 6);
    }),
    { numRuns: 3000 },
  );
});
