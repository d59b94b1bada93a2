// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { DropReason, EngineConfiguration, EngineCounters } from '../../src/engine/engine.ts';
import type { Family, IpAddress } from '../../src/lib/ip-address.ts';
import { describeRecord, eventOf, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import type { ForwardingMethod } from '../../src/model/forwarding-method.ts';
import type { Selector } from '../../src/model/selector.ts';
import { defaultTimeouts } from '../../src/model/timeouts.ts';
import type { RealServer, VirtualService } from '../../src/model/virtual-service.ts';
import type { ArrivalOptions, EngineLimits, EngineUnderTest, FrameOut, MakeEngine } from './engine-under-test.ts';
import { describeFrame, type TcpFields, tcpFrame } from './frames.ts';

const virtualAddress = '192.0.2.80';
export const virtualAddressIpv6 = '2001:db8::80';
export const slot = 3;
const ip = (text: string): IpAddress => text as IpAddress;

export interface SceneOptions {
  readonly method?: ForwardingMethod;
  readonly selector?: Selector;
  readonly limits?: Partial<EngineLimits>;
  readonly servers?: readonly string[];
  readonly gracePeriodMs?: number;
  /** Without it the lease is valid for an hour and the grace period is over. */
  readonly lease?: 'none' | 'fresh';
  readonly extraService?: boolean;
  /** The virtual address is 2001:db8::80, real servers 2001:db8:a::1, … */
  readonly family?: Family;
  readonly protocol?: 'tcp' | 'udp';
  readonly service?: Partial<VirtualService>;
  /** Fields of every real server. */
  readonly realServer?: Partial<RealServer>;
}

const eachInTurn = (count: number): Selector => ({
  shape: 'sequence',
  slots: Uint16Array.from({ length: count }, (_, i) => i),
});

/**
 * One virtual service, by default tcp 192.0.2.80:80, with real servers 10.0.0.1, 10.0.0.2, …; real port 8080 in
 * masquerade.
 */
export function configurationOf(options: SceneOptions = {}): EngineConfiguration {
  const method = options.method ?? 'masquerade';
  const isIpv6 = options.family === 'ipv6';
  const servers = options.servers ?? (isIpv6 ? ['2001:db8:a::1', '2001:db8:a::2'] : ['10.0.0.1', '10.0.0.2']);
  const realServers = servers.map((address) => ({
    address: ip(address),
    port: method === 'masquerade' ? 8080 : 80,
    weight: 1,
    forwardingMethod: method,
    ...options.realServer,
  }));
  const scheduler = { name: 'rr', hashPort: false, fallback: false } as const;
  const address = ip(isIpv6 ? virtualAddressIpv6 : virtualAddress);
  const protocol = options.protocol ?? 'tcp';
  const service = { address, port: 80, protocol, scheduler, realServers, ...options.service } as const;
  const selector = options.selector ?? eachInTurn(servers.length);
  const extra = {
    service: { ...service, port: 81 },
    selector: { shape: 'sequence', slots: Uint16Array.of(0) },
  } as const;
  return {
    addresses: [
      { address, interface: 'clients', leaseSlot: slot, answer: true },
      { address: ip('10.0.0.254'), interface: 'servers', leaseSlot: slot, answer: false },
    ],
    services: [{ service, selector }, ...(options.extraService ? [extra] : [])],
    timeouts: defaultTimeouts,
    gracePeriodMs: options.gracePeriodMs ?? 2000,
  };
}

/** An engine in a configured state, with the verbs that the tests use. */
export class Scene {
  readonly engine: EngineUnderTest;

  private constructor(engine: EngineUnderTest) {
    this.engine = engine;
  }

  static async open(make: MakeEngine, options: SceneOptions = {}): Promise<Scene> {
    const scene = new Scene(make({ halfOpenMax: 64, establishedMax: 64, ...options.limits }));
    if (options.lease !== 'none') scene.engine.setLease(slot, 3_600_000);
    await scene.engine.configure(configurationOf(options));
    if (options.lease === undefined) await scene.engine.advance(options.gracePeriodMs ?? 2000);
    return scene;
  }

  async client(fields: TcpFields = {}, options: ArrivalOptions = {}): Promise<string[]> {
    return describe(
      await this.engine.send('clients', tcpFrame({ ...fields, partial: options.checksumPartial ?? false }), options),
    );
  }

  /** A real server's packet, by default of the connection from 198.51.100.7:40000. */
  async server(fields: TcpFields = {}, options: ArrivalOptions = {}): Promise<string[]> {
    const reply = {
      source: '10.0.0.1',
      sourcePort: 8080,
      destination: '198.51.100.7',
      destinationPort: 40000,
      flags: 'SA',
      ...fields,
      partial: options.checksumPartial ?? false,
    };
    return describe(await this.engine.send('servers', tcpFrame(reply), options));
  }

  /** SYN and ACK: the client's half of a handshake. */
  async handshake(fields: TcpFields = {}): Promise<void> {
    await this.client({ ...fields, flags: 'S' });
    await this.client({ ...fields, flags: 'A', sequence: 1001, acknowledgement: 500 });
  }

  /** Every drop counted so far, by reason. */
  async drops(): Promise<Partial<Record<DropReason, number>>> {
    const { drops } = await this.engine.counters();
    return Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0));
  }

  counters(): Promise<EngineCounters> {
    return this.engine.counters();
  }

  /** `STATE client port > real server, local or learnt, time left in seconds`, one line for each entry. */
  async table(): Promise<string[]> {
    const lines: string[] = [];
    for (let cursor: number | undefined = 0; cursor !== undefined; ) {
      const page = await this.engine.exportPage(cursor, 100);
      lines.push(...describeBatch(page.batch));
      cursor = page.next;
    }
    return lines.sort();
  }

  async tableWords(): Promise<Int32Array> {
    const page = await this.engine.exportPage(0, 10_000);
    assert.equal(page.next, undefined);
    return page.batch;
  }

  async events(): Promise<string[]> {
    const batches = await this.engine.takeEvents();
    return batches.flatMap((batch) => describeBatch(batch, true));
  }
}

export function describe(frames: readonly FrameOut[]): string[] {
  return frames.map((frame) => `${frame.port}: ${describeFrame(frame.bytes, frame.checksumPartial)}`);
}

export function describeBatch(batch: Int32Array, withEvent = false): string[] {
  return Array.from({ length: batch.length / recordWords }, (_, index) => {
    const entry = describeRecord(batch, index);
    const event = ['', 'upsert ', 'refresh ', 'remove '][eventOf(batch[index * recordWords + RecordOffset.head]!)]!;
    const owner = entry.local ? 'local' : 'learnt';
    const left = Math.round(entry.expiresInMs / 1000);
    const client = `${entry.clientAddress}:${entry.clientPort}`;
    return `${withEvent ? event : ''}${entry.state} ${client} > ${entry.realAddress}:${entry.realPort} ${owner} ${left}`;
  });
}
