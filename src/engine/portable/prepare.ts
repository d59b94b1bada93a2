// SPDX-License-Identifier: Apache-2.0
import { writeU16 } from '../../lib/bytes.ts';
import { internetChecksum } from '../../lib/checksum.ts';
import { IcmpOffset } from '../../wire/icmp.ts';
import { writeIcmpv6Checksum } from '../../wire/icmpv6.ts';
import type { Destinations } from './destinations.ts';
import type { Packet } from './packet.ts';
import { decrementTtl, rewriteAddress, rewriteEndpoint, Side } from './rewrite.ts';

// All that is done to a packet before it leaves, but for its Ethernet header: a forwarding method is carried out here
// and nowhere else. A director sees the replies only of methods that rewrite them, so these need no choice.

/** A client's packet or fragment becomes its real server's. False: the engine does not have the method. */
export function prepareIn(packet: Packet, destinations: Destinations, destination: number): boolean {
  decrementTtl(packet);
  switch (destinations.methods[destination]!.name) {
    case 'masquerade': {
      const { addresses, ports } = destinations;
      rewriteEndpoint(packet, Side.destination, addresses, destination << 2, ports[destination]!);
      return true;
    }
    case 'direct-route':
      return true;
    case 'tunnel':
      return false;
  }
}

/** A real server's packet becomes the virtual address's, which `virtual` holds in words from `at` on. */
export function prepareOut(packet: Packet, virtual: Int32Array, at: number, port: number): void {
  decrementTtl(packet);
  rewriteEndpoint(packet, Side.source, virtual, at, port);
}

/** As `prepareIn`, for an ICMP error about `quoted`, which the real server has sent. */
export function prepareErrorIn(
  packet: Packet,
  quoted: Packet,
  destinations: Destinations,
  destination: number,
): boolean {
  decrementTtl(packet);
  switch (destinations.methods[destination]!.name) {
    case 'masquerade': {
      const { addresses, ports } = destinations;
      rewriteEndpoint(quoted, Side.source, addresses, destination << 2, ports[destination]!);
      rewriteAddress(packet, Side.destination, addresses, destination << 2);
      writeMessageChecksum(packet);
      return true;
    }
    case 'direct-route':
      return true;
    case 'tunnel':
      return false;
  }
}

/** As `prepareOut`, for an ICMP error about `quoted`, which the client has sent. */
export function prepareErrorOut(packet: Packet, quoted: Packet, virtual: Int32Array, at: number, port: number): void {
  decrementTtl(packet);
  rewriteEndpoint(quoted, Side.destination, virtual, at, port);
  rewriteAddress(packet, Side.source, virtual, at);
  writeMessageChecksum(packet);
}

/** The message has been found intact, so that its checksum may be written from its bytes. */
function writeMessageChecksum(packet: Packet): void {
  const { memory, ip, transport, end } = packet;
  if (packet.ipv6) {
    writeIcmpv6Checksum(memory, ip, transport, end - transport);
    return;
  }
  writeU16(memory, transport + IcmpOffset.checksum, 0);
  writeU16(memory, transport + IcmpOffset.checksum, internetChecksum(memory, transport, end - transport));
}
