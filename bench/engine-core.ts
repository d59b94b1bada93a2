// SPDX-License-Identifier: Apache-2.0
// Packets a second of the portable engine's packet path alone, frames in memory: node dist/bench/engine-core.js [FLOWS...]
import type { EngineConfiguration } from '../src/engine/engine.ts';
import type { NextHop } from '../src/engine/portable/next-hop.ts';
import type { Frame, PacketPort } from '../src/engine/portable/packet-port.ts';
import { PortableEngine } from '../src/engine/portable/portable-engine.ts';
import type { Family, IpAddress } from '../src/lib/ip-address.ts';
import type { ForwardingMethod } from '../src/model/forwarding-method.ts';
import { defaultTimeouts } from '../src/model/timeouts.ts';
import { Flags, segmentFrame } from '../test/contract/packets.ts';

const slotLength = 128;
const slots = 4096;

/** A ring of frames that is read for ever: each is written from its flow's number, and is sent nowhere. */
class LoopPort implements PacketPort {
  readonly interface: string;
  readonly interfaceIndex: number;
  readonly macAddress: Uint8Array;
  readonly mtu = 1500;
  readonly counters = { truncated: 0, vlanTagged: 0, receiveOverrun: 0 };
  /** The template, and what one frame of flow `flow` differs in; undefined: nothing arrives. */
  write: ((memory: Uint8Array, offset: number, flow: number) => void) | undefined;
  template: Uint8Array = new Uint8Array(0);
  flows = 1;
  flow = 0;
  /** Flows are taken in a scattered order, so that the processor's caches cannot foresee them. */
  stride = 1;
  sent = 0;
  #queued = 0;
  #slot = 0;
  readonly #memory = new Uint8Array(slots * slotLength);
  readonly #frame: Frame = { memory: this.#memory, offset: 0, length: 0, checksumPartial: false, segmentSize: 0 };

  constructor(name: string, index: number) {
    this.interface = name;
    this.interfaceIndex = index;
    this.macAddress = Uint8Array.of(2, 0, 0, 0, 0, index);
  }

  get queued(): number {
    return this.#queued;
  }

  receive(framesMax: number, handle: (frame: Frame, port: PacketPort) => void): number {
    if (this.write === undefined) return 0;
    const memory = this.#memory;
    for (let i = 0; i < framesMax; i += 1) {
      this.#slot = (this.#slot + 1) % slots;
      const offset = this.#slot * slotLength;
      memory.set(this.template, offset);
      this.write(memory, offset, this.flow);
      this.flow = (this.flow + this.stride) % this.flows;
      this.#frame.offset = offset;
      this.#frame.length = this.template.length;
      handle(this.#frame, this);
    }
    return framesMax;
  }

  transmitInPlace(): boolean {
    this.#queued += 1;
    return true;
  }

  transmitCopy(): boolean {
    this.#queued += 1;
    return true;
  }

  flush(): number {
    this.sent += this.#queued;
    this.#queued = 0;
    return 0;
  }

  discard(): void {
    this.#queued = 0;
  }

  release(): void {}
}

const ip = (text: string): IpAddress => text as IpAddress;

const virtualAddresses = { ipv4: '192.0.2.80', ipv6: '2001:db8::80' } as const;
const clients = { ipv4: '198.18.0.1', ipv6: '2001:db8:c::1' } as const;

function configuration(forwardingMethod: ForwardingMethod, family: Family): EngineConfiguration {
  const network = family === 'ipv6' ? '2001:db8:a::' : '10.0.0.';
  const realServers = [1, 2, 3, 4].map((host) => ({
    address: ip(`${network}${host}`),
    port: 80,
    weight: 1,
    forwardingMethod,
  }));
  const scheduler = { name: 'sh', hashPort: true, fallback: false } as const;
  const service = { address: ip(virtualAddresses[family]), port: 80, protocol: 'tcp', scheduler, realServers } as const;
  const selector = { shape: 'hash', slots: Uint16Array.of(0, 1, 2, 3), seed: 1, hashPort: true } as const;
  return {
    addresses: [{ address: service.address, interface: 'clients', leaseSlot: -1, answer: true }],
    services: [{ service, selector }],
    timeouts: defaultTimeouts,
    gracePeriodMs: 0,
  };
}

function writeIpv4(memory: Uint8Array, offset: number, flow: number): void {
  const port = 1024 + (flow & 0x3fff);
  memory[offset + 34] = port >>> 8;
  memory[offset + 35] = port;
  const host = (flow >>> 14) + 1;
  memory[offset + 29] = host;
  // The IP checksum of 198.18.0.1 less what the host byte adds.
  const sum = ((memory[offset + 24]! << 8) | memory[offset + 25]!) - (host - 1);
  memory[offset + 24] = sum >>> 8;
  memory[offset + 25] = sum;
}

function writeIpv6(memory: Uint8Array, offset: number, flow: number): void {
  const port = 1024 + (flow & 0x3fff);
  memory[offset + 54] = port >>> 8;
  memory[offset + 55] = port;
  memory[offset + 37] = (flow >>> 14) + 1;
}

function measure(method: ForwardingMethod, family: Family, flows: number): void {
  const ingress = new LoopPort('clients', 1);
  const servers = new LoopPort('servers', 2);
  const hop: NextHop = { state: 'resolved', port: servers, macAddress: new Uint8Array(6) };
  const engine = new PortableEngine({
    ports: [ingress, servers],
    resolver: { resolve: () => hop, update: () => false },
    leases: { validUntilMs: () => Number.POSITIVE_INFINITY },
    nowMs: () => performance.now(),
  });
  engine.configure(configuration(method, family));
  ingress.flows = flows;
  // A prime that divides no number of flows: every flow has its turn.
  ingress.stride = flows > 1000 ? 7919 : 1;
  // Client port and address follow the flow; the checksums are wrong, and stay so: the engine never sums segments.
  const flow = {
    source: clients[family],
    sourcePort: 1024,
    destination: virtualAddresses[family],
    destinationPort: 80,
  };
  ingress.template = segmentFrame(flow, Flags.ack);
  ingress.write = family === 'ipv6' ? writeIpv6 : writeIpv4;
  const run = (frames: number): number => {
    const start = performance.now();
    let left = frames;
    while (left > 0) {
      left -= engine.processBatch();
      if ((left & 0x3fff) === 0) engine.tick();
    }
    return frames / (performance.now() - start) / 1000;
  };
  const opened = run(Math.max(flows, 300_000));
  // Of each connection some data: without, its entry is of the second class.
  ingress.template = segmentFrame(flow, Flags.ack, {}, new Uint8Array(1));
  run(flows);
  ingress.template = segmentFrame(flow, Flags.ack);
  const rates = [run(2_000_000), run(2_000_000), run(2_000_000)];
  const { establishedConnections, drops } = engine.counters();
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  const best = Math.max(...rates).toFixed(2);
  const memory = Math.round(process.memoryUsage.rss() / (1 << 20));
  console.log(
    `${family} ${method.padEnd(12)} ${String(flows).padStart(8)} flows: ${best} M packets/s established, ${opened.toFixed(2)} while opening; entries ${establishedConnections}, dropped ${dropped}, resident ${memory} MiB`,
  );
}

const flowCounts = process.argv.slice(2).map(Number);
for (const flows of flowCounts.length > 0 ? flowCounts : [256, 10_000, 1_000_000]) {
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const method of ['direct-route', 'masquerade'] as const) measure(method, family, flows);
  }
}
