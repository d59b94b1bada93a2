// SPDX-License-Identifier: Apache-2.0
import type { FrameSender } from '../../../engine/engine.ts';
import { close, MSG_DONTWAIT, pinnedMemory, sendto } from '../libc.ts';
import { openPacketSocket, packetSocketAddress } from './packet-socket.ts';

const frameLengthMax = 2048;
const addressLength = 20;

/** Sends frames through a packet socket that receives nothing. */
export class PacketFrameSender implements FrameSender {
  #fd = openPacketSocket();
  readonly #frame = pinnedMemory(frameLengthMax);
  readonly #target = pinnedMemory(addressLength);
  #interfaceIndex = 0;

  /** `bytes` are at most 2048, and begin with the Ethernet header. */
  send(interfaceIndex: number, bytes: Uint8Array): boolean {
    if (this.#fd === -1 || bytes.length > frameLengthMax) return false;
    if (interfaceIndex !== this.#interfaceIndex) {
      this.#target.bytes.set(packetSocketAddress(interfaceIndex, 0));
      this.#interfaceIndex = interfaceIndex;
    }
    this.#frame.bytes.set(bytes);
    const { address } = this.#frame;
    return sendto(this.#fd, address, bytes.length, MSG_DONTWAIT, this.#target.address, addressLength) !== -1;
  }

  /** Nothing is sent any more. May be called twice. */
  close(): void {
    if (this.#fd !== -1) close(this.#fd);
    this.#fd = -1;
  }
}
