// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answers } from '../../../src/engine/portable/answers.ts';
import { Egress, type EgressQueues } from '../../../src/engine/portable/egress.ts';
import type { Leases } from '../../../src/engine/portable/leases.ts';
import type { NextHop } from '../../../src/engine/portable/next-hop.ts';
import type { Packet } from '../../../src/engine/portable/packet.ts';
import { Drop, Tally } from '../../../src/engine/portable/tally.ts';
import { IpProtocol, Ipv4Offset } from '../../../src/wire/ipv4.ts';

test('what a forwarding method puts in front of a packet counts against the MTU', () => {
  const tally = new Tally();
  const egress = new Egress({} as Leases, {} as EgressQueues, tally, {} as Answers);
  const hop = { state: 'resolved', port: { mtu: 1500 }, macAddress: new Uint8Array(6) } as unknown as NextHop;
  const memory = new Uint8Array(20);
  memory[Ipv4Offset.ttl] = 64;
  const packet = { memory, ip: 0, ipv6: false, protocol: IpProtocol.icmp, frame: { segmentSize: 0 } };
  const leaves = (length: number, inFront: number): boolean =>
    egress.mayLeave({ ...packet, length } as unknown as Packet, inFront, hop, 0, new Int32Array(4), 0);
  assert.deepEqual([leaves(1500, 0), leaves(1501, 0), leaves(1480, 20), leaves(1481, 20)], [true, false, true, false]);
  assert.equal(tally.drops[Drop.tooBig], 2);
});
