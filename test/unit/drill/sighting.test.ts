// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Addresses, classify } from '../../../src/drill/measure/sighting.ts';
import { ipAddressBytes, parseIpAddress } from '../../../src/lib/ip-address.ts';

const addresses: Addresses = {
  clients: [
    { address: bytesOf('203.0.113.0'), byteCount: 3 },
    { address: bytesOf('2001:db8:3::'), byteCount: 8 },
  ],
  virtual: ['198.51.100.100', '10.77.0.1', '2001:db8:1::100'].map(bytesOf),
};

for (const { what, frame, expected } of [
  {
    what: "a client's TCP packet",
    frame: ipv4(6, '203.0.113.10', '10.77.0.21', [0x1f, 0x90]),
    expected: { kind: 'forwarded', family: 'ipv4', port: 8080 },
  },
  {
    what: "a client's UDP packet",
    frame: ipv4(17, '203.0.113.10', '10.77.0.21', [0x1f, 0x90]),
    expected: { kind: 'forwarded', family: 'ipv4', port: 0 },
  },
  {
    what: "a client's IPv6 packet",
    frame: ipv6(6, '2001:db8:3::a', 'fd00:77::15', [0x1f, 0x90]),
    expected: { kind: 'forwarded', family: 'ipv6', port: 8080 },
  },
  {
    what: 'an answer of the service',
    frame: ipv4(6, '198.51.100.100', '203.0.113.10', [0, 1]),
    expected: { kind: 'returned', family: 'ipv4', port: 0 },
  },
  { what: 'a health check', frame: ipv4(6, '10.77.0.11', '10.77.0.21', [0, 1]), expected: undefined },
  {
    what: 'an advertisement',
    frame: ipv4(112, '198.51.100.11', '224.0.0.18', [0x31, 51, 150]),
    expected: { kind: 'advertisement', family: 'ipv4', port: 0 },
  },
  {
    what: 'a resignation over IPv6',
    frame: ipv6(112, 'fe80::1', 'ff02::12', [0x31, 52, 0]),
    expected: { kind: 'resignation', family: 'ipv6', port: 0 },
  },
  {
    what: 'gratuitous ARP',
    frame: arp('198.51.100.100', '198.51.100.100'),
    expected: { kind: 'announcement', family: 'ipv4', port: 0 },
  },
  {
    what: 'an ARP answer for the gateway address',
    frame: arp('10.77.0.1', '10.77.0.21'),
    expected: { kind: 'answer', family: 'ipv4', port: 0 },
  },
  { what: 'an ARP answer for an address of its own', frame: arp('10.77.0.11', '10.77.0.21'), expected: undefined },
  {
    what: 'an unsolicited neighbour advertisement',
    frame: neighbourAdvertisement('2001:db8:1::100', 0xa0),
    expected: { kind: 'announcement', family: 'ipv6', port: 0 },
  },
  {
    what: 'a solicited neighbour advertisement',
    frame: neighbourAdvertisement('2001:db8:1::100', 0xe0),
    expected: { kind: 'answer', family: 'ipv6', port: 0 },
  },
  {
    what: 'a neighbour advertisement for an address of its own',
    frame: neighbourAdvertisement('2001:db8:1::b', 0xe0),
    expected: undefined,
  },
]) {
  test(`seen leaving a director: ${what}`, () => {
    assert.deepEqual(classify(frame, addresses), expected);
  });
}

test('whatever a frame holds, it is classified without an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x0800, 0x0806, 0x86dd), (bytes, type) => {
      if (bytes.length >= 14) new DataView(bytes.buffer).setUint16(12, type);
      classify(bytes, addresses);
    }),
  );
});

function bytesOf(address: string): Uint8Array {
  return ipAddressBytes(parseIpAddress(address)!);
}

function ethernet(type: number, ...parts: readonly ArrayLike<number>[]): Uint8Array {
  return Uint8Array.from([
    ...new Array<number>(12).fill(2),
    type >> 8,
    type & 0xff,
    ...parts.flatMap((part) => [...Array.from(part)]),
  ]);
}

function ipv4(protocol: number, source: string, destination: string, payload: readonly number[]): Uint8Array {
  const header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
  return ethernet(0x0800, header, bytesOf(source), bytesOf(destination), payload, new Uint8Array(20));
}

function ipv6(protocol: number, source: string, destination: string, payload: readonly number[]): Uint8Array {
  const header = [0x60, 0, 0, 0, 0, 0, protocol, 64];
  return ethernet(0x86dd, header, bytesOf(source), bytesOf(destination), payload, new Uint8Array(20));
}

function arp(sender: string, target: string): Uint8Array {
  const [hardware, none] = [new Uint8Array(6), new Uint8Array(6)];
  return ethernet(0x0806, [0, 1, 8, 0, 6, 4, 0, 2], hardware, bytesOf(sender), none, bytesOf(target));
}

function neighbourAdvertisement(target: string, flags: number): Uint8Array {
  return ipv6(58, 'fe80::1', 'ff02::1', [136, 0, 0, 0, flags, 0, 0, 0, ...bytesOf(target)]);
}
