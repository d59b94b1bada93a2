// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { arpLength, emitArp, parseArp } from '../../../src/wire/arp.ts';
import {
  emitEthernet,
  ethernetLength,
  formatMacAddress,
  parseEthernet,
  parseMacAddress,
} from '../../../src/wire/ethernet.ts';
import { emitIcmp, icmpLength, parseIcmp } from '../../../src/wire/icmp.ts';
import { parseIcmpv6, writeIcmpv6Checksum } from '../../../src/wire/icmpv6.ts';
import { emitIpv4, ipv4Length, isMartianSource, parseIpv4 } from '../../../src/wire/ipv4.ts';
import { emitIpv6, ipv6Length, parseIpv6 } from '../../../src/wire/ipv6.ts';
import {
  emitNeighbourAdvertisement,
  neighbourAdvertisementLength,
  parseNeighbourSolicitation,
} from '../../../src/wire/ndp.ts';
import { emitTcp, parseTcp, TcpFlag, TcpOffset, tcpLength } from '../../../src/wire/tcp.ts';
import { verifyTransportChecksum, writeTransportChecksum } from '../../../src/wire/transport-checksum.ts';
import { emitUdp, parseUdp, udpLength } from '../../../src/wire/udp.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const hexOf = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const none = new Uint8Array(0);

// The former content of a buffer must not appear in the frame: every emitter writes on 0xa5 and leaves the bytes around
// alone.
function emitted(length: number, emit: (buffer: Uint8Array, offset: number) => number): string {
  const buffer = new Uint8Array(length + 8).fill(0xa5);
  assert.equal(emit(buffer, 4), 4 + length, 'the offset behind what was written');
  assert.equal(hexOf(buffer.subarray(0, 4)), 'a5a5a5a5');
  assert.equal(hexOf(buffer.subarray(4 + length)), 'a5a5a5a5');
  return hexOf(buffer.subarray(4, 4 + length));
}

const ethernet = {
  destination: bytes('020000000001'),
  source: bytes('020000000002'),
  etherType: 0x0800,
};
const arp = {
  operation: 1,
  senderMac: bytes('020000000001'),
  senderAddress: ip('192.0.2.1'),
  targetMac: bytes('000000000000'),
  targetAddress: ip('192.0.2.80'),
};
// The header of RFC 1071's best known worked example.
const ipv4 = {
  trafficClass: 0,
  totalLength: 115,
  identification: 0,
  dontFragment: true,
  moreFragments: false,
  fragmentOffset: 0,
  ttl: 64,
  protocol: 17,
  source: ip('192.168.0.1'),
  destination: ip('192.168.0.199'),
  options: none,
};
const ipv4Hex = '45000073000040004011b861c0a80001c0a800c7';
const tcp = {
  sourcePort: 40000,
  destinationPort: 80,
  sequence: 0xfffffffe,
  acknowledgement: 0x80000001,
  flags: TcpFlag.syn | TcpFlag.ack,
  window: 65535,
  checksum: 0x1234,
  urgentPointer: 0,
  options: bytes('020405b4'),
};
const udp = { sourcePort: 40000, destinationPort: 53, length: 12, checksum: 0xbeef };
const icmp = { type: 8, code: 0, rest: 0x00010002, payload: bytes('616263') };
const ipv6 = {
  trafficClass: 0xb8,
  flowLabel: 0xabcde,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 64,
  source: ip('2001:db8::1'),
  destination: ip('ff02::12'),
};

test('each protocol is emitted byte for byte and parsed back', () => {
  const payload = (hex: string, count: number): Uint8Array => bytes(hex + '00'.repeat(count));
  const rows: [string, string, string, unknown, unknown][] = [
    [
      'ethernet',
      emitted(ethernetLength(), (b, o) => emitEthernet(ethernet, b, o)),
      '0200000000010200000000020800',
      parseEthernet(bytes('0200000000010200000000020800')),
      ethernet,
    ],
    [
      'arp',
      emitted(arpLength(), (b, o) => emitArp(arp, b, o)),
      '0001080006040001020000000001c0000201000000000000c0000250',
      parseArp(bytes('0001080006040001020000000001c0000201000000000000c0000250')),
      arp,
    ],
    ['ipv4', emitted(ipv4Length(ipv4), (b, o) => emitIpv4(ipv4, b, o)), ipv4Hex, parseIpv4(payload(ipv4Hex, 95)), ipv4],
    [
      'tcp',
      emitted(tcpLength(tcp), (b, o) => emitTcp(tcp, b, o)),
      '9c400050fffffffe800000016012ffff12340000020405b4',
      parseTcp(bytes('9c400050fffffffe800000016012ffff12340000020405b4')),
      tcp,
    ],
    [
      'udp',
      emitted(udpLength(), (b, o) => emitUdp(udp, b, o)),
      '9c400035000cbeef',
      parseUdp(payload('9c400035000cbeef', 4)),
      udp,
    ],
    [
      'icmp',
      emitted(icmpLength(icmp), (b, o) => emitIcmp(icmp, b, o)),
      '0800339a00010002616263',
      parseIcmp(bytes('0800339a00010002616263')),
      icmp,
    ],
    [
      'ipv6',
      emitted(ipv6Length(), (b, o) => emitIpv6(ipv6, b, o)),
      '6b8abcde00040640' + '20010db8000000000000000000000001' + 'ff020000000000000000000000000012',
      parseIpv6(payload('6b8abcde0004064020010db8000000000000000000000001ff020000000000000000000000000012', 4)),
      ipv6,
    ],
  ];
  for (const [name, got, hex, parsed, value] of rows) {
    assert.equal(got, hex, name);
    assert.deepEqual(parsed, { ok: true, value }, name);
  }
});

test('each fault has its reason', () => {
  const fault = (reason: string): unknown => ({ ok: false, reason });
  const ipv4Packet = (hex: string): unknown => parseIpv4(bytes(hex + '00'.repeat(95)));
  const rows: [string, unknown, string][] = [
    ['ethernet of 13 bytes', parseEthernet(new Uint8Array(13)), 'truncated'],
    ['arp of 27 bytes', parseArp(new Uint8Array(27)), 'truncated'],
    ['arp for another protocol', parseArp(bytes(`000186dd06040001${'00'.repeat(20)}`)), 'unsupported'],
    ['arp with other address lengths', parseArp(bytes(`0001080008040001${'00'.repeat(20)}`)), 'unsupported'],
    ['ipv4 of 19 bytes', parseIpv4(bytes(ipv4Hex).subarray(0, 19)), 'truncated'],
    ['ipv4 shorter than its total length', parseIpv4(bytes(ipv4Hex)), 'truncated'],
    ['ipv4 of version 6', ipv4Packet(`65${ipv4Hex.slice(2)}`), 'malformedHeader'],
    ['ipv4 with a header of 16 bytes', ipv4Packet(`44${ipv4Hex.slice(2)}`), 'malformedHeader'],
    ['ipv4 with a header longer than the packet', ipv4Packet(`4f000014${ipv4Hex.slice(8)}`), 'malformedHeader'],
    ['ipv4 with a wrong checksum', ipv4Packet(ipv4Hex.replace('b861', 'b862')), 'badChecksum'],
    ['tcp of 19 bytes', parseTcp(new Uint8Array(19)), 'truncated'],
    ['tcp with a header of 16 bytes', parseTcp(bytes(`${'00'.repeat(12)}40${'00'.repeat(7)}`)), 'malformedHeader'],
    ['tcp with a header past its end', parseTcp(bytes(`${'00'.repeat(12)}60${'00'.repeat(7)}`)), 'malformedHeader'],
    ['udp of 7 bytes', parseUdp(new Uint8Array(7)), 'truncated'],
    ['udp that says 7 bytes', parseUdp(bytes('9c4000350007beef')), 'malformedHeader'],
    ['udp that says more than there is', parseUdp(bytes('9c4000350009beef')), 'truncated'],
    ['icmp of 7 bytes', parseIcmp(new Uint8Array(7)), 'truncated'],
    ['icmp with a wrong checksum', parseIcmp(bytes('0800339b00010002616263')), 'badChecksum'],
    ['ipv6 of 39 bytes', parseIpv6(new Uint8Array(39)), 'truncated'],
    ['ipv6 of version 4', parseIpv6(bytes(`40${'00'.repeat(39)}`)), 'malformedHeader'],
    ['ipv6 shorter than its payload length', parseIpv6(bytes(`60000000000100${'00'.repeat(33)}`)), 'truncated'],
  ];
  for (const [name, got, reason] of rows) assert.deepEqual(got, fault(reason), name);
});

test('a transport checksum covers addresses, protocol, length and payload', () => {
  const packet = new Uint8Array(20 + 20 + 5);
  const at = emitIpv4({ ...ipv4, protocol: 6, totalLength: packet.length }, packet, 0);
  emitTcp({ ...tcp, options: none }, packet, at);
  packet.set(bytes('68656c6c6f'), 40);
  writeTransportChecksum(packet, 0, at, 25, TcpOffset.checksum);
  assert.equal(verifyTransportChecksum(packet, 0, at, 25), true);
  for (const offset of [12, 19, 20, 33, 44]) {
    packet[offset]! ^= 0x10;
    assert.equal(verifyTransportChecksum(packet, 0, at, 25), false, `byte ${offset}`);
    packet[offset]! ^= 0x10;
  }
});

test('MAC addresses read and print', () => {
  assert.equal(formatMacAddress(bytes('0200fffe0a01')), '02:00:ff:fe:0a:01');
  assert.deepEqual(parseMacAddress('02:00:FF:fe:0a:01'), bytes('0200fffe0a01'));
  for (const text of ['', '02:00:ff:fe:0a', '02:00:ff:fe:0a:1', '0200fffe0a01'])
    assert.equal(parseMacAddress(text), undefined);
});

test('sources that no host may use', () => {
  const rows: [number, boolean][] = [
    [0x00000000, true],
    [0x7f000001, true],
    [0xe0000012 | 0, true],
    [0xffffffff | 0, true],
    [0xc0000201 | 0, false],
    [0x0a000001, false],
  ];
  for (const [word, martian] of rows) assert.equal(isMartianSource(word), martian, (word >>> 0).toString(16));
});

test('a neighbour advertisement in bytes, and a solicitation read', () => {
  const packet = new Uint8Array(40 + neighbourAdvertisementLength());
  const header = { trafficClass: 0, flowLabel: 0, payloadLength: 32, nextHeader: 58, hopLimit: 255 };
  emitIpv6({ ...header, source: ip('2001:db8::80'), destination: ip('2001:db8::9') }, packet, 0);
  const targetMac = bytes('02 00 00 00 d0 01');
  const message = { target: ip('2001:db8::80'), targetMac, router: true, solicited: true, override: true };
  assert.equal(emitNeighbourAdvertisement(message, packet, 0, 40), 72);
  assert.equal(hexOf(packet.subarray(40, 42)), '8800');
  assert.equal(hexOf(packet.subarray(44)), 'e000000020010db80000000000000000000000800201020000' + '00d001');
  assert.equal(parseIcmpv6(packet, 0, 40, 32).ok, true);
  const asked = Uint8Array.from(packet);
  asked.set([135], 40);
  asked.set([1], 64);
  writeIcmpv6Checksum(asked, 0, 40, 32);
  const parsed = parseNeighbourSolicitation(asked, 0, 40, 32);
  assert.deepEqual(parsed, { ok: true, value: { target: '2001:db8::80', sourceMac: targetMac } });
  for (const [what, at, value, reason] of [
    ['hop limit', 7, 254, 'hopLimit'],
    ['checksum', 50, 1, 'badChecksum'],
  ] as const) {
    const bent = Uint8Array.from(asked);
    bent[at] = value;
    assert.deepEqual(parseNeighbourSolicitation(bent, 0, 40, 32), { ok: false, reason }, what);
  }
});
