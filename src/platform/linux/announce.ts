// SPDX-License-Identifier: Apache-2.0
import type { Announcer } from '../../director/ports.ts';
import { familyOf, type IpAddress } from '../../lib/ip-address.ts';
import { ArpOperation, arpLength, emitArp } from '../../wire/arp.ts';
import { broadcastMacAddress, EtherType, emitEthernet, ethernetHeaderLength } from '../../wire/ethernet.ts';
import { type InterfaceFacts, interfaceFacts } from './interface-facts.ts';
import { close, errno, MSG_DONTWAIT, pinnedMemory, sendto } from './libc.ts';
import { openPacketSocket, packetSocketAddress } from './packet-socket.ts';
import { SystemError } from './system-error.ts';

const frameLength = ethernetHeaderLength + arpLength();
const addressLength = 20;

/**
 * Gratuitous ARP as keepalived sends it: a broadcast request for the address by the address (RFC 5944 section 4.6),
 * which every host's cache takes. Never throws in use: an announcement that fails is reported, and the next one is due
 * anyway.
 */
export class ArpAnnouncer implements Announcer {
  readonly #fd = openPacketSocket();
  readonly #frame = pinnedMemory(frameLength);
  readonly #target = pinnedMemory(addressLength);
  readonly #onError: (error: Error) => void;
  failed = 0;

  /** Throws a sentence when the privilege is missing. */
  constructor(onError: (error: Error) => void = () => undefined) {
    this.#onError = onError;
  }

  announce(address: IpAddress, interfaceName: string): void {
    try {
      this.#announce(address, interfaceFacts(interfaceName));
    } catch (error) {
      this.failed += 1;
      this.#onError(error as Error);
    }
  }

  close(): void {
    close(this.#fd);
  }

  #announce(address: IpAddress, { name, index, macAddress }: InterfaceFacts): void {
    if (familyOf(address) === 'ipv6') {
      throw new Error(`cannot announce ${address} on ${name}: IPv6 addresses are not supported yet`);
    }
    const { bytes } = this.#frame;
    const header = { destination: broadcastMacAddress, source: macAddress, etherType: EtherType.arp };
    const message = {
      operation: ArpOperation.request,
      senderMac: macAddress,
      senderAddress: address,
      targetMac: broadcastMacAddress,
      targetAddress: address,
    };
    emitArp(message, bytes, emitEthernet(header, bytes, 0));
    this.#target.bytes.set(packetSocketAddress(index, EtherType.arp));
    const sent = sendto(this.#fd, this.#frame.address, frameLength, MSG_DONTWAIT, this.#target.address, addressLength);
    if (sent === -1) throw new SystemError('sendto', errno(), `announce ${address} on ${name}`);
  }
}
