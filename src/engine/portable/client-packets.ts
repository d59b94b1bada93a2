// SPDX-License-Identifier: Apache-2.0
import { TcpDirection } from '../../connection/tcp-transitions.ts';
import { IpProtocol } from '../../wire/ipv4.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import { EntryWord } from './entry-layout.ts';
import type { Packet } from './packet.ts';

/** What a client's packet means to its entry: whether it ends it, or how the entry follows it. */
export class ClientPackets {
  readonly #connections: Connections;
  readonly #destinations: Destinations;

  constructor(connections: Connections, destinations: Destinations) {
    this.#connections = connections;
    this.#destinations = destinations;
  }

  /** Whether an entry is over for a client's packet, which is then one of no connection. `begins`: it is a SYN. */
  isDone(entry: number, begins: boolean, nowMs: number): boolean {
    if (this.#connections.hasExpired(entry, nowMs) || (begins && this.#connections.isOver(entry))) return true;
    return this.#isStranded(entry) && this.#connections.leavesDeadServer(entry, begins, nowMs);
  }

  /**
   * A packet of a known connection is forwarded. Returns false when it would establish the connection and the established
   * table is full. A client that sends to a dead real server does not keep its entry alive.
   */
  follow(packet: Packet, entry: number, nowMs: number): boolean {
    const connections = this.#connections;
    if (packet.protocol !== IpProtocol.tcp) {
      if (!this.#isStranded(entry)) connections.followUdp(entry, nowMs);
      return true;
    }
    const destination = connections.table.words[entry + EntryWord.destination]!;
    const direction = this.#destinations.seesReplies(destination) ? TcpDirection.input : TcpDirection.inputOnly;
    return connections.follow(entry, direction, packet, !this.#isStranded(entry), nowMs);
  }

  /** Whether the entry's real server is dead. Entries of a removed virtual service only wait for the sweep. */
  #isStranded(entry: number): boolean {
    const destination = this.#connections.table.words[entry + EntryWord.destination]!;
    return this.#destinations.alive[destination] === 0 && this.#destinations.services[destination] !== undefined;
  }
}
