// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import type { SyncTransport } from '../../../director/ports.ts';
import { errorSentence } from '../../../lib/error-sentence.ts';
import { type Family, familyOf, type IpAddress, parseIpAddress } from '../../../lib/ip-address.ts';
import { type InterfaceFacts, interfaceFacts } from '../netlink/interface-facts.ts';
import { openSyncDescriptors, type SyncSocketOptions } from './sync-descriptors.ts';
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
  /** May be the receiver. */
  readonly sender: Socket;
}

const kernelPorts: SyncSocketPorts = { factsOf: interfaceFacts, openDescriptors: openSyncDescriptors };

/**
 * Datagrams to and from a multicast group, or unicast peers, through one interface. The sockets are made by system calls,
 * since they need options that node:dgram does not have, and are then served by node:dgram on the event loop of the
 * calling thread.
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

  send(datagram: Uint8Array): void {
    // A datagram that cannot go at once is dropped: the protocol resends, and a queue here would have no bound.
    const sender = this.#impediment === undefined ? this.#open?.sender : undefined;
    if (sender === undefined || sender.getSendQueueCount() > 0) {
      this.counters.unsent += this.#destinations.length;
      return;
    }
    for (const destination of this.#destinations) {
      sender.send(datagram, this.#options.port, destination, (error) => {
        if (error === null) this.counters.sent += 1;
        else this.counters.unsent += 1;
      });
    }
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
    const { receive, send } = this.#ports.openDescriptors(this.#options, facts, source);
    const family = familyOf(source);
    const receiver = this.#serve(receive, family);
    receiver.on('message', (datagram, { address }) => this.#receive(datagram, address));
    const sender = send === receive ? receiver : this.#serve(send, family);
    this.#open = { source, interfaceIndex: facts.index, receiver, sender };
  }

  #serve(fd: number, family: Family): Socket {
    const socket = createSocket({
      type: family === 'ipv6' ? 'udp6' : 'udp4',
      // The group is a literal; the default would take a turn of the event loop to find that out for each datagram.
      lookup: ((host: string, _options: unknown, done: (error: null, address: string, family: number) => void) =>
        done(null, host, family === 'ipv6' ? 6 : 4)) as never,
    });
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
    const { receiver, sender } = this.#open;
    this.#open = undefined;
    receiver.close();
    if (sender !== receiver) sender.close();
  }
}
