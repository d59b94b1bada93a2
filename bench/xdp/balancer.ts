// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { BpfObject, XdpLink } from '../../src/engine/xdp/bpf-object.ts';
import { loadSettings, type XdpLimits } from '../../src/engine/xdp/load-settings.ts';
import { MappedArray } from '../../src/engine/xdp/mapped-array.ts';
import { NextHops } from '../../src/engine/xdp/next-hops.ts';
import { XdpEngine } from '../../src/engine/xdp/xdp-engine.ts';
import { Sign } from '../../src/model/lease.ts';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../src/platform/linux/bpf/load.ts';
import { possibleCpuCount } from '../../src/platform/linux/bpf/possible-cpus.ts';
import { openRingReader } from '../../src/platform/linux/bpf/ring-reader.ts';
import { coarseClockLagNs } from '../../src/platform/linux/coarse-clock.ts';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { RouteFollower } from '../../src/platform/linux/netlink/route-follower.ts';
import { LeaseMemory } from '../../src/platform/linux/process/lease-memory.ts';
import { loadXdpProgram } from '../bpf.ts';
import { type BulkFigures, exportAll, importCopies, measureSweep } from './bulk.ts';
import { flushConntrack } from './conntrack-flush.ts';
import { bounceProgram, passProgram, redirectProgram } from './limit-programs.ts';

// A process of its own in the balancer's namespace: puts the engine, or one of the programs that mark the limits, on the
// interfaces. Takes one order a line on its standard input and answers each with a line, both as JSON.

export type AttachedProgram = 'baton' | 'bounce' | 'redirect' | 'pass' | 'none';

export type BalancerOrder =
  | { readonly do: 'load'; readonly limits: XdpLimits; readonly objectPath?: string; readonly seenGrainMs?: number }
  | { readonly do: 'configure'; readonly configuration: EngineConfiguration }
  | { readonly do: 'attach'; readonly program: AttachedProgram }
  | { readonly do: 'clear' }
  | { readonly do: 'status' }
  | { readonly do: 'export' }
  | { readonly do: 'import'; readonly records: number }
  | { readonly do: 'sweep' };

type LoadOrder = Extract<BalancerOrder, { readonly do: 'load' }>;

export interface ProgramRuns {
  readonly runs: number;
  readonly ns: number;
}

export interface BalancerStatus {
  readonly runs: Readonly<Record<string, ProgramRuns>>;
  readonly drops: Readonly<Record<string, number>>;
  readonly established: number;
  readonly halfOpen: number;
  readonly evictions: number;
  readonly eventOverruns: number;
  /** Bytes that the kernel charges for each map. */
  readonly mapBytes: Readonly<Record<string, number>>;
  readonly residentBytes: number;
}

const interfaces = ['front', 'back'];
const tickPeriodMs = 10;
/** As src/processes/engine/xdp-forwarding.ts has it. */
const usualSeenGrainMs = 64;
const clock = new MonotonicClock();

let object: BpfObject | undefined;
let engine: XdpEngine | undefined;
let links: XdpLink[] = [];
const limitPrograms: Record<'bounce' | 'redirect' | 'pass', number> = {
  redirect: -1,
  bounce: loadXdpProgram(bounceProgram()),
  pass: loadXdpProgram(passProgram()),
};

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await obey(JSON.parse(line, reviveTypedArray) as BalancerOrder).catch((error: Error) => ({
    failed: error.message,
  }));
  process.stdout.write(`${JSON.stringify(answer ?? {})}\n`);
}
for (const link of links) link.close();
process.exit(0);

async function obey(order: BalancerOrder): Promise<BalancerStatus | BulkFigures | undefined> {
  switch (order.do) {
    case 'load':
      return load(order);
    case 'configure':
      await engine!.configure(order.configuration);
      return undefined;
    case 'attach':
      return attach(order.program);
    case 'clear':
      return clear();
    case 'status':
      return status();
    case 'export':
      return exportAll(object!, clock);
    case 'import':
      return importCopies(object!, clock, order.records);
    case 'sweep':
      return measureSweep(object!);
  }
}

/** Composed as src/processes/engine/xdp-forwarding.ts does it. */
function load({ limits, objectPath: path, seenGrainMs = usualSeenGrainMs }: LoadOrder): undefined {
  const host = {
    processors: possibleCpuCount(),
    clockLagNs: coarseClockLagNs(),
    hashSeed: 0x243f_6a88_85a3_08d3n,
    seenGrainMs,
  };
  object = loadBpfObject(loadSettings(limits, host), path === undefined ? {} : { path });
  const follower = { route: undefined as RouteFollower | undefined };
  engine = new XdpEngine({
    object,
    clock,
    interfaces: interfaces.map((name) => {
      const { index, macAddress, mtu } = interfaceFacts(name);
      return { name, index, macAddress, mtu };
    }),
    nextHops: (sink, onHopChanged) => {
      const hops = new NextHops({
        sink,
        clock,
        ask: (index, to, startOver) => follower.route?.ask(index, to, startOver),
        onHopChanged,
      });
      follower.route = new RouteFollower({
        clock,
        onEvents: (events) => hops.apply(events),
        onWarning: (sentence) => process.stderr.write(`${sentence}\n`),
      });
      return hops;
    },
    missingNeighbours: openRingReader(object.maps.get('missing_neighbours')!),
    events: openRingReader(object.maps.get('events')!),
  });
  // As the sync thread does.
  engine.onEvents(() => {});
  LeaseMemory.attach(object.maps.get('leases')!.fd).sign(Sign.publisher, Number.POSITIVE_INFINITY);
  const back = interfaceFacts('back').index;
  limitPrograms.redirect = loadXdpProgram(redirectProgram(object.maps.get('egress')!.fd, back), { fragments: true });
  follower.route!.start();
  engine.completeNextHops();
  setInterval(() => engine!.tick(), tickPeriodMs);
}

function attach(program: AttachedProgram): undefined {
  for (const link of links) {
    link.detach();
    link.close();
  }
  const indexes = interfaces.map((name) => interfaceFacts(name).index);
  if (program === 'none') links = [];
  else if (program === 'baton') {
    const baton = object!.programs.get('baton')!;
    links = indexes.map((index) => attachXdp(baton, index, 'native').link);
  } else links = [attachXdp({ fd: limitPrograms[program] }, indexes[0]!, 'native').link];
}

/** As if there had never been a connection, for either balancer. */
function clear(): undefined {
  flushConntrack();
  for (const name of ['table4', 'table6', '.data.totals', 'loads', 'half_open_ring']) {
    new MappedArray(object!.maps.get(name)!).bytes.fill(0);
  }
}

async function status(): Promise<BalancerStatus> {
  const counters = await engine?.counters();
  const programs = [...(object?.programs.values() ?? [])].map(({ name, fd }): [string, number] => [name, fd]);
  const runs = [...programs, ...Object.entries(limitPrograms).filter(([, fd]) => fd >= 0)].map(
    ([name, fd]): [string, ProgramRuns] => [name, { runs: factOf(fd, 'run_cnt'), ns: factOf(fd, 'run_time_ns') }],
  );
  const drops = Object.entries(counters?.drops ?? {}).filter(([, count]) => count > 0);
  return {
    runs: Object.fromEntries(runs),
    drops: Object.fromEntries(drops),
    established: counters?.establishedConnections ?? 0,
    halfOpen: counters?.halfOpenConnections ?? 0,
    evictions: counters?.halfOpenEvictions ?? 0,
    eventOverruns: counters?.eventOverruns ?? 0,
    mapBytes: Object.fromEntries([...(object?.maps ?? [])].map(([name, { fd }]) => [name, factOf(fd, 'memlock')])),
    residentBytes: process.memoryUsage().rss,
  };
}

/** A line of /proc/self/fdinfo (kernel/bpf/syscall.c, bpf_prog_show_fdinfo and bpf_map_show_fdinfo). */
function factOf(fd: number, name: string): number {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

/** Selectors hold a Uint16Array, which JSON knows nothing of: it goes as an object with `uint16`. */
function reviveTypedArray(_key: string, value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'uint16' in value
    ? Uint16Array.from(value.uint16 as number[])
    : value;
}
