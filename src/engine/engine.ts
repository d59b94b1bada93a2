// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../lib/ip-address.ts';
import type { DeadServerPolicy } from '../model/dead-servers.ts';
import type { CompiledService } from '../model/selector.ts';
import type { ProtocolTimeouts } from '../model/timeouts.ts';

/** The values of `--engine`: `auto` takes the best engine that works on this host. */
export const engineRequests = ['auto', 'xdp', 'portable'] as const;
export type EngineRequest = (typeof engineRequests)[number];

/** An address that the engine speaks for, and the lease it does so under. */
export interface EngineAddress {
  readonly address: IpAddress;
  readonly interface: string;
  /** Slot of the virtual router that holds the address in the lease array, or `endlessLease`. */
  readonly leaseSlot: number;
  /**
   * The engine answers ARP, ND and ICMP echo for it. False for an address that the kernel holds: the engine then only
   * gates forwarding by its lease.
   */
  readonly answer: boolean;
}

export interface EngineConfiguration {
  readonly addresses: readonly EngineAddress[];
  readonly services: readonly CompiledService[];
  readonly timeouts: ProtocolTimeouts;
  /** How long after a takeover an unknown mid-stream TCP packet is dropped silently. */
  readonly gracePeriodMs: number;
  /**
   * Whether a service with a `hash` selector makes an entry for a segment of an unknown connection other than SYN and RST. It
   * is ESTABLISHED and of the second class. Absent: true.
   */
  readonly sloppyTcp?: boolean;
  /** Absent: `defaultDeadServerPolicy`. */
  readonly deadServerPolicy?: DeadServerPolicy;
}

/** Counted for each virtual service and each real server. Bytes are those of whole frames without the Ethernet header. */
export interface TrafficCounters {
  readonly connections: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
  /** 0 where the forwarding method does not see the replies. */
  readonly packetsOut: number;
  readonly bytesOut: number;
}

export interface RealServerCounters extends TrafficCounters {
  readonly address: IpAddress;
  readonly port: number;
  /** Established entries. */
  readonly activeConnections: number;
  /** All other entries: half-open and closing TCP connections, and UDP flows. */
  readonly inactiveConnections: number;
}

export interface ServiceCounters extends TrafficCounters {
  /** `virtualServiceName` of the service. */
  readonly name: string;
  readonly realServers: readonly RealServerCounters[];
}

/** Why a packet was dropped, refused or not forwarded: one counter each, the same in every engine. */
export const dropReasons = [
  'truncated',
  'malformedHeader',
  'badChecksum',
  /** A source address that no host may send from, or that is a virtual address of this director. */
  'martianSource',
  'noLease',
  /** A new connection while nobody publishes, or the publisher is late: the client's next SYN finds whoever is active. */
  'noPublisher',
  'graceUnknownConnection',
  'unknownConnection',
  'noRealServer',
  'tableFull',
  'noRoute',
  'neighbourUnresolved',
  'neighbourQueueFull',
  'ttlExceeded',
  /** More IPv6 extension headers than a packet may have, in an order that they may not have, or a source route. */
  'extensionHeaders',
  /** A fragment whose datagram is not known, or that holds part of an ICMP message for a virtual address. */
  'fragmentUnknown',
  /** A first fragment that ends within its transport header. */
  'fragmentTiny',
  /** A fragment that is empty, not a multiple of 8 bytes long, or makes its datagram longer than any may be. */
  'fragmentMalformed',
  /** A fragment that repeats or overwrites bytes of another one. */
  'fragmentOverlap',
  /** An ICMP error about no known connection, or whose quotation cannot be read. */
  'icmpError',
  /** A neighbour solicitation for a virtual address that is malformed, or that has come through a router. */
  'neighbourDiscovery',
  'tooBig',
  'vlanTagged',
  'transmitFailed',
  'receiveOverrun',
] as const;
export type DropReason = (typeof dropReasons)[number];

export interface EngineCounters {
  readonly services: readonly ServiceCounters[];
  readonly drops: Readonly<Record<DropReason, number>>;
  /** TCP connections whose handshake is not complete, UDP flows of one packet. */
  readonly halfOpenConnections: number;
  /** Of either class. */
  readonly establishedConnections: number;
  /** Those of them that are TCP connections and have carried no data: when there is no room, they give way. */
  readonly secondClassConnections: number;
  /** Persistence: client prefixes that are bound to a real server. Neither of the two counts above includes them. */
  readonly connectionTemplates: number;
  /** Half-open connections that gave way to newer ones. */
  readonly halfOpenEvictions: number;
  /** Established connections of the second class that gave way to newer ones. */
  readonly secondClassEvictions: number;
  readonly arpReplies: number;
  /** Neighbour advertisements in answer to a solicitation. */
  readonly neighbourReplies: number;
  readonly echoReplies: number;
  readonly resetsSent: number;
  readonly unreachablesSent: number;
  /** ICMP errors that were not sent because there were too many of them. */
  readonly errorsSuppressed: number;
  /** Connection events that were lost because nobody read them in time; the table itself loses nothing. */
  readonly eventOverruns: number;
}

export interface ApplyOutcome {
  readonly applied: number;
  /** Records about connections that this director forwards itself. */
  readonly refusedLocal: number;
  /** Records whose virtual service or real server is not configured here, or that no engine can have written. */
  readonly refusedUnknown: number;
  /** Records of a forwarding method that the engines do not have. */
  readonly refusedMethod: number;
  readonly refusedFull: number;
}

export const nothingApplied: ApplyOutcome = {
  applied: 0,
  refusedLocal: 0,
  refusedUnknown: 0,
  refusedMethod: 0,
  refusedFull: 0,
};

export function addOutcomes(one: ApplyOutcome, other: ApplyOutcome): ApplyOutcome {
  return {
    applied: one.applied + other.applied,
    refusedLocal: one.refusedLocal + other.refusedLocal,
    refusedUnknown: one.refusedUnknown + other.refusedUnknown,
    refusedMethod: one.refusedMethod + other.refusedMethod,
    refusedFull: one.refusedFull + other.refusedFull,
  };
}

export interface ExportPage {
  /** Packed records, see model/connection-batch.ts. */
  readonly batch: Int32Array;
  /** Where the next page starts; undefined after the last. */
  readonly next: number | undefined;
}

/** Calls `release` once, at once or later, in the order of its own calls. */
export type Defer = (release: () => void) => void;

/**
 * Connections as sync sees them: the engine owns the table, sync reads events and pages and writes records. All calls
 * may be made from another thread than the one that controls the engine.
 */
export interface ConnectionPort {
  /**
   * `listener` gets each batch of events (upsert, refresh, remove) of local connections, at most 1 ms after the first
   * of them. A slow listener makes the engine lose events, never wait: they are counted as `eventOverruns`, and
   * `onOverrun` says that the table has to be exported again. The SYNs that are held for a batch go on when the listener has
   * returned; with `defer`, which is called then, when it calls `release`.
   */
  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void, defer?: Defer): void;
  /** All entries of both tables, local and learnt, in pages of at most `recordsMax` records. `cursor` 0 starts. */
  exportPage(cursor: number, recordsMax: number): Promise<ExportPage>;
  /**
   * A peer has connections that are not in the table yet: for the next `forMs` milliseconds segments of no known
   * connection are dropped silently, as in the grace period after a takeover.
   */
  expectRecords(forMs: number): void;
  /** Applies records learnt from a peer. */
  applyBatch(batch: Int32Array): Promise<ApplyOutcome>;
}

/** A forwarding engine. One contract suite holds for all of them. */
export interface Engine extends ConnectionPort {
  readonly kind: 'xdp' | 'portable';
  /** Replaces the configuration as a whole. Entries keep their real server; those of removed services expire. */
  configure(configuration: EngineConfiguration): Promise<void>;
  counters(): Promise<EngineCounters>;
  /** Stops forwarding and frees every resource. */
  close(): Promise<void>;
}

/** The lease array as a data path reads it. The vrrp process writes it. */
export interface LeaseReader {
  /** Monotonic milliseconds; 0 when there is none. */
  validUntilMs(slot: number): number;
}

/** What the publisher says of itself, as a data path reads it: new connections are admitted only while peers hear of them. */
export interface PublisherReader {
  /** Monotonic milliseconds until which connections may be admitted; Infinity where no peer has to hear of them. */
  publisherUntilMs(): number;
  /** Monotonic milliseconds until which a peer counts as heard: new connections wait until it has been told of them. */
  peerUntilMs(): number;
  /** The number, modulo 2^32 as a signed word, of the last batch of events that has left for the peers. */
  takenBatch(): number;
  /** The number of the last batch whose SYNs may go on. */
  releasedBatch(): number;
}

/** Sends whole frames out of the interfaces of this host. */
export interface FrameSender {
  /** `bytes` begin with the Ethernet header. False: the kernel refused, or the interface has gone. */
  send(interfaceIndex: number, bytes: Uint8Array): boolean;
  close(): void;
}
