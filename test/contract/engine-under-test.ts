// SPDX-License-Identifier: Apache-2.0

import type { ApplyOutcome, EngineConfiguration, EngineCounters, ExportPage } from '../../src/engine/engine.ts';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';

export interface FrameOut {
  readonly port: string;
  readonly bytes: Uint8Array;
  readonly checksumPartial: boolean;
  readonly segmentSize: number;
}

export interface ArrivalOptions {
  readonly checksumPartial?: boolean;
  readonly segmentSize?: number;
}

export type PublisherState = 'none' | 'prompt' | 'late' | 'gone' | 'deferring';

/** How a next hop answers: `reachable` with a MAC address of the suite's choosing. */
export type Reachability = 'reachable' | 'resolving' | 'unreachable';

/**
 * An engine as the contract suite drives it. Ports are `clients` (index 1) and `servers` (index 2); 198.51.100.0/24 is
 * behind `clients`, 10.0.0.0/24 and 2001:db8:a::/48 behind `servers`. An engine in the kernel implements it with test
 * runs of its program.
 */
export interface EngineUnderTest {
  configure(configuration: EngineConfiguration): Promise<void>;
  /** One frame arrives. Resolves with all frames that leave because of it, in order. */
  send(port: 'clients' | 'servers', frame: Uint8Array, options?: ArrivalOptions): Promise<FrameOut[]>;
  /**
   * Time passes, and the engine does what it does in the background, every `stepMs`. Resolves with the frames that leave
   * meanwhile.
   */
  advance(ms: number, stepMs?: number): Promise<FrameOut[]>;
  /** Time passes in which the engine looks at its leases and does nothing else. */
  idle(ms: number): void;
  /** `until` on the engine's clock, as an offset from the present moment in milliseconds; 0 revokes. */
  setLease(slot: number, forMs: number): void;
  /**
   * By default no peer has to hear of anything. `prompt`: a publisher takes every event at once; `late`: it takes none until
   * it is prompt again, while it says that it is alive; `gone`: its word has run out; `deferring`: it takes every event at once,
   * and what it holds back goes on when it is any of the others.
   */
  setPublisher(publisher: PublisherState): void;
  /** The held SYNs that have left since the last call, or since frames were last given. */
  takeReleased(): FrameOut[];
  /** By default no peer is heard. */
  setPeer(heard: boolean): void;
  setReachability(address: string, reachability: Reachability): void;
  setMtu(port: 'clients' | 'servers', mtu: number): void;
  counters(): Promise<EngineCounters>;
  exportPage(cursor: number, recordsMax: number): Promise<ExportPage>;
  expectRecords(forMs: number): void;
  applyBatch(batch: Int32Array): Promise<ApplyOutcome>;
  /** Connection events since the last call. */
  takeEvents(): Promise<Int32Array[]>;
  /** Time jumps by `ms` between the engine's reading of a frame and its sending: a frozen process. */
  sendFrozen(port: 'clients' | 'servers', frame: Uint8Array, ms: number): Promise<FrameOut[]>;
  close(): Promise<void>;
}

export interface EngineLimits {
  readonly halfOpenMax: number;
  readonly establishedMax: number;
  /**
   * An engine that keeps half-open entries in order in a ring: its positions, a power of two. Absent: as many as a director
   * gives it for so many entries.
   */
  readonly ringSize?: number;
  /** An engine that keeps entries in buckets: how many. Absent: twice the room that so many entries take. */
  readonly buckets?: number;
}

/** Features that an engine may lack because of where it gets its packets: tests of them are skipped with the reason. */
export interface EngineGaps {
  /** Unfinished checksums, and frames larger than the MTU that are cut when they leave. */
  readonly offloads?: string;
  /** Time between the reading of a frame and its sending. */
  readonly freezing?: string;
  /** Frames that wait until their neighbour is known. */
  readonly waiting?: string;
  /** Frames without a whole Ethernet header. */
  readonly runts?: string;
}

export interface MakeEngine {
  (limits: EngineLimits): EngineUnderTest;
  readonly lacks?: EngineGaps;
}

/** MAC addresses of the suite's network, by address. */
export function neighbourMac(address: string): Uint8Array {
  const bytes = ipAddressBytes(address as IpAddress);
  return Uint8Array.of(2, bytes.length === 4 ? 1 : 6, ...bytes.subarray(-4));
}

export const portMac = {
  clients: Uint8Array.of(2, 0, 0, 0, 0xd0, 1),
  servers: Uint8Array.of(2, 0, 0, 0, 0xd0, 2),
} as const;
