// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import { NLM_F_CREATE, viewOf } from './message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import { familyNumber, NDA_DST, NTF_USE, ndmsgLength, RTM_NEWNEIGH } from './rtnetlink.ts';

/** A neighbour as rtnetlink's requests name it. */
export interface NeighbourName {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
}

/**
 * Tells the kernel that a neighbour is in use (NTF_USE): an unknown one is resolved, a stale one confirmed. The outcome
 * is a notification. Nothing is said to the caller when the kernel refuses (no buffer space, the interface is going away).
 *
 * `startOver`: an attempt that is under way is begun again at once. A neighbour that somebody has used while the link was
 * down (a health check is enough) stays incomplete when the link comes back, and the kernel would not send the next
 * request before its timer runs out, up to a second later (retrans_time), however often it is told of a use. The state
 * NONE takes the timer away and keeps the packets that wait in the entry; NTF_USE then begins with a request. Only for a
 * neighbour that is not resolved: of a resolved one the kernel would forget that.
 */
export function useNeighbour(socket: NetlinkSocket, name: NeighbourName, startOver: boolean): void {
  const attributes = [[NDA_DST, ipAddressBytes(name.address)]] as const;
  try {
    // Without NLM_F_CREATE: where the kernel has no entry there is no attempt to begin again.
    if (startOver) socket.send(RTM_NEWNEIGH, 0, neighbourStructure(name, 0), attributes);
    socket.send(RTM_NEWNEIGH, NLM_F_CREATE, neighbourStructure(name, NTF_USE), attributes);
  } catch {
    // The caller asks again after its interval.
  }
}

/** struct ndmsg { u8 family; u8 pad; u16 pad; s32 ifindex; u16 state; u8 flags; u8 type; }, the state being NUD_NONE. */
export function neighbourStructure({ interfaceIndex, address }: NeighbourName, flags: number): Uint8Array {
  const structure = new Uint8Array(ndmsgLength);
  const view = viewOf(structure);
  view.setUint8(0, familyNumber(familyOf(address)));
  view.setInt32(4, interfaceIndex, true);
  view.setUint8(10, flags);
  return structure;
}
