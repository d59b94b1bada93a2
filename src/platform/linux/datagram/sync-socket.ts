// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import type { SyncTransport } from '../../../director/ports.ts';
import { errorSentence } from '../../../lib/error-sentence.ts';
import { type Family, familyOf, type IpAddress, parseIpAddress } from '../../../lib/ip-address.ts';
import { close, MSG_DONTWAIT, type PinnedMemory, pinnedCopy, pinnedMemory, sendto } from '../libc.ts';
import { type InterfaceFacts, interfaceFacts } from '../netlink/interface-facts.ts';
import {
  openSyncDescriptors,
  type SyncDescriptors,
  type SyncSocketOptions,
  socketAddress,
} from './sync-descriptors.ts';
import { syncSource } from './sync-source.ts';

export interface SyncSocketPorts {
  /** Throws a sentence when there is no such interface. */
  readonly factsOf: (interfaceName: string) => InterfaceFacts;
  readonly openDescriptors: typeof openSyncDescriptors;
}

/** Sockets that are open, and what they were opened for. */
interface OpenSockets {
  readonly source: IpAddress;
  readonly interfaceIndex: number;
  readonly receiver: Socket;
  readonly descriptors: SyncDescriptors;
  /** Where each datagram goes: socket addresses. */
  readonly targets: readonly PinnedMemory[];
}

/** No datagram is longer: `sync_maxlen` ends there. */
const datagramLengthMax = 65_507;

const kernelPorts: SyncSocketPorts = { factsOf: interfaceFacts, openDescriptors: openSyncDescriptors };

/**
 * Datagrams to and from a multicast group, or unicast peers, through one interface. The sockets are made by system calls,
 * since they need options that node:dgram does not have. What arrives is served by node:dgram on the event loop of the
 * calling thread; what is sent is handed to the kernel during the call, so that the caller knows whether it has left.
 */
export class UdpSyncSocket implements SyncTransport {
  /**
   * `unsent`: the kernel refused, the socket was still busy, or there was no address to send from; `strangers`: datagrams
   * from senders that are not peers; `errors`: failures while receiving. Each copy for a peer counts.
   */
  readonly counters = { sent: 0, unsent: 0, received: 0, strangers: 0, errors: 0 };
  readonly #ports: SyncSocketPorts;
  #options: SyncSocketOptions;
  readonly #destinations: readonly IpAddress[];
  /** Undefined: every sender of the group is heard. */
  readonly #peers: ReadonlySet<IpAddress> | undefined;
  #open: OpenSockets | undefined;
  /** Why nothing can be sent: a sentence without its full stop. */
  #impediment: string | undefined;
  /** The interface may be another one than that of the sockets. */
  #doubtful = false;
  readonly #datagram = pinnedMemory(datagramLengthMax);
  #listener: (datagram: Uint8Array, source: IpAddress) => void = () => undefined;
  #closed = false;
  /** The last sender that is not a peer, since a peer was heard. */
  #stranger: IpAddress | undefined;

  /** Throws one sentence when the interface or its address is missing, the port is taken or the group cannot be joined. */
  constructor(options: SyncSocketOptions, ports: SyncSocketPorts = kernelPorts) {
    const { interface: name, group, unicastPeers = [] } = options;
    this.#ports = ports;
    this.#options = options;
    this.#destinations = unicastPeers.length > 0 ? unicastPeers : [group];
    this.#peers = unicastPeers.length > 0 ? new Set(unicastPeers) : undefined;
    const facts = ports.factsOf(name);
    this.#openAt(facts, syncSource(options, facts));
  }

  /** The address that it sends from; undefined while it has none. */
  get source(): IpAddress | undefined {
    return this.#impediment === undefined ? this.#open?.source : undefined;
  }

  /** From now on these are no source. To be followed by `follow`. */
  avoid(virtualAddresses: ReadonlySet<IpAddress>): void {
    this.#options = { ...this.#options, virtualAddresses };
  }

  /**
   * Looks at the interface, which has changed or may have: another one of its name, another address and one that is back
   * get new sockets, and the group is joined there. Without an address nothing is sent; what arrives at the group is still
   * taken. `linkLost`: its link was down, so that it may be another interface even with the same number. Gives whether the
   * sockets are new.
   */
  follow(linkLost = false): boolean {
    if (this.#closed) return false;
    this.#doubtful ||= linkLost;
    try {
      const facts = this.#ports.factsOf(this.#options.interface);
      const source = syncSource(this.#options, facts);
      if (!facts.up || !facts.running) {
        this.#doubtful = true;
        return false;
      }
      if (!this.#doubtful && this.source === source && this.#open?.interfaceIndex === facts.index) return false;
      this.#closeSockets();
      this.#openAt(facts, source);
      this.#impediment = undefined;
      this.#doubtful = false;
      return true;
    } catch (error) {
      this.#impediment = errorSentence(error);
      return false;
    }
  }

  /** A datagram that cannot go at once is dropped: the protocol resends, and a queue here would have no bound. */
  send(datagram: Uint8Array): boolean {
    const open = this.#impediment === undefined ? this.#open : undefined;
    if (open === undefined || datagram.length > datagramLengthMax) {
      this.counters.unsent += this.#destinations.length;
      return false;
    }
    this.#datagram.bytes.set(datagram);
    let unsent = 0;
    for (const { address, bytes } of open.targets) {
      const { send } = open.descriptors;
      const result = sendto(send, this.#datagram.address, datagram.length, MSG_DONTWAIT, address, bytes.length);
      if (result === -1) unsent += 1;
    }
    this.counters.sent += open.targets.length - unsent;
    this.counters.unsent += unsent;
    return unsent === 0;
  }

  onReceive(listener: (datagram: Uint8Array, source: IpAddress) => void): void {
    this.#listener = listener;
  }

  impediment(): string | undefined {
    return this.#impediment;
  }

  trouble(): string | undefined {
    const { interface: name } = this.#options;
    try {
      const { up, running } = this.#ports.factsOf(name);
      if (!up) return `interface ${name} is down: set it up`;
      if (!running) return `interface ${name} has no carrier: look at its cable and switch port`;
    } catch {
      return `there is no interface ${name} any more`;
    }
    if (this.#impediment !== undefined) return this.#impediment;
    if (this.#stranger === undefined) return undefined;
    return `datagrams come from ${this.#stranger}, which is not among the unicast_peer addresses: write it there`;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeSockets();
  }

  #openAt(facts: InterfaceFacts, source: IpAddress): void {
    const descriptors = this.#ports.openDescriptors(this.#options, facts, source);
    const family = familyOf(source);
    const receiver = this.#serve(descriptors.receive, family);
    receiver.on('message', (datagram, { address }) => this.#receive(datagram, address));
    const targets = this.#destinations.map((destination) =>
      pinnedCopy(socketAddress(destination, family, this.#options.port, facts.index)),
    );
    this.#open = { source, interfaceIndex: facts.index, receiver, descriptors, targets };
  }

  #serve(fd: number, family: Family): Socket {
    const socket = createSocket(family === 'ipv6' ? 'udp6' : 'udp4');
    socket.on('error', () => {
      this.counters.errors += 1;
    });
    socket.bind({ fd });
    return socket;
  }

  #receive(datagram: Uint8Array, address: string): void {
    const source = parseIpAddress(address.split('%')[0]!);
    if (source === undefined) return;
    if (this.#peers !== undefined && !this.#peers.has(source)) {
      this.counters.strangers += 1;
      this.#stranger = source;
      return;
    }
    this.counters.received += 1;
    this.#stranger = undefined;
    this.#listener(datagram, source);
  }

  #closeSockets(): void {
    if (this.#open === undefined) return;
    const { receiver, descriptors } = this.#open;
    this.#open = undefined;
    receiver.close();
    if (descriptors.send !== descriptors.receive) close(descriptors.send);
  }
}
