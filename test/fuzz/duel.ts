// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import type { EngineConfiguration, EngineCounters } from '../../src/engine/engine.ts';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { ConnectionEvent, RecordOffset, recordWords, unpackHead } from '../../src/model/connection-batch.ts';
import { virtualServiceName } from '../../src/model/virtual-service.ts';
import type { EngineUnderTest, FrameOut } from '../contract/engine-under-test.ts';
import { makePortableEngine } from '../contract/portable-harness.ts';
import { makeXdpEngine, type XdpUnderTest } from '../contract/xdp-harness.ts';
import {
  type ConfigurationPlan,
  configurationOf,
  familyOfAddress,
  gateways,
  leaseSlots,
  serverHosts,
  virtualAddresses,
} from './configurations.ts';
import { type FramePlan, frameOf } from './frames.ts';
import { limitsOf, recordsOf, type Step, type Story } from './steps.ts';

/** The observable state of an engine after a step. */
export interface Outcome {
  /** `port hex`, in order. */
  readonly frames: readonly string[];
  readonly events: readonly string[];
  readonly table: readonly string[];
  readonly counters: EngineCounters;
  readonly imported: object | undefined;
}

/** Changes the configuration for the portable engine alone, to test that a difference is found. */
export type Distortion = (configuration: EngineConfiguration) => EngineConfiguration;

export interface Difference {
  /** Index into the story's steps; -1: its configuration. */
  readonly step: number;
  readonly portable: Outcome;
  readonly xdp: Outcome;
  /** A further sentence about the difference. */
  readonly remark: string | undefined;
}

const frameTimeMs = 1;
/**
 * A sweep so long after the last one passes the whole table. One that is earlier passes a part, and each engine has an
 * order of its own.
 */
const sweepPeriodMs = 1_000;

/**
 * Runs a story through both engines. Returns the first difference, and throws what one of them has thrown. `onOutcome`
 * gets the outcomes that were equal.
 */
export async function duel(
  story: Story,
  onOutcome?: (step: Step, outcome: Outcome) => void,
  distort?: Distortion,
): Promise<Difference | undefined> {
  const limits = limitsOf[story.limits]!;
  const portable = makePortableEngine(limits);
  const told = distort === undefined ? portable : distorted(portable, distort);
  const xdp = makeXdpEngine(limits) as XdpUnderTest;
  try {
    return await follow(story, told, xdp, onOutcome);
  } finally {
    await xdp.close();
  }
}

function distorted(engine: EngineUnderTest, distort: Distortion): EngineUnderTest {
  return { ...engine, configure: (configuration) => engine.configure(distort(configuration)) };
}

async function follow(
  story: Story,
  portable: EngineUnderTest,
  xdp: XdpUnderTest,
  onOutcome: ((step: Step, outcome: Outcome) => void) | undefined,
): Promise<Difference | undefined> {
  const begin: Step[] = [
    ...leaseSlots.map((slot) => ({ do: 'lease', slot, forMs: 3_600_000 }) as const),
    { do: 'configure', plan: story.configuration },
    // The first sweep only looks at the clock.
    { do: 'seconds', count: 1 },
  ];
  const world = new World(story.configuration);
  let before: EngineCounters | undefined;
  for (const [index, step] of [...begin, ...story.steps].entries()) {
    const isSweepDue = world.follow(step);
    if (isSweepDue || step.do === 'seconds') {
      const hasRegained = world.sweep();
      if (mayCompete(before, limitsOf[story.limits]!.establishedMax, hasRegained)) return undefined;
    }
    const outcomes = {
      portable: await take(portable, step, world, isSweepDue),
      xdp: await take(xdp, step, world, isSweepDue),
    };
    for (const outcome of Object.values(outcomes)) world.forgetReturned(outcome.counters);
    const imported = step.do === 'import' ? step.records.length : 0;
    if (mayDifferInVictim(before, imported, outcomes)) return undefined;
    const remark =
      step.do === 'frame'
        ? verdictRemark(before, outcomes.portable, xdp.leftAlone, world.isGated(step.plan))
        : undefined;
    if (remark !== undefined || !isDeepStrictEqual(outcomes.portable, outcomes.xdp)) {
      return { step: index - begin.length, ...outcomes, remark };
    }
    before = outcomes.xdp.counters;
    onOutcome?.(step, outcomes.xdp);
  }
  return undefined;
}

/**
 * Whether the order matters in which a sweep passes templates and connections. Each engine has an order of its own, so the
 * state after such a sweep is not comparable. It matters when half-open templates wait for room in the established table,
 * and get the place of a connection that expires in the same sweep; and when a template was not refreshed while there was
 * no lease, and may have expired before a connection of it refreshes it again.
 */
function mayCompete(counters: EngineCounters | undefined, establishedMax: number, hasRegained: boolean): boolean {
  if (counters === undefined || counters.connectionTemplates === 0) return false;
  return hasRegained || counters.establishedConnections + counters.connectionTemplates >= establishedMax;
}

/**
 * Whether an entry of the second class gave way in both engines, and there was a choice, perhaps among those just `imported`:
 * each has an order of its own. A difference in how many gave way is found all the same.
 */
function mayDifferInVictim(
  before: EngineCounters | undefined,
  imported: number,
  { portable, xdp }: { readonly portable: Outcome; readonly xdp: Outcome },
): boolean {
  if (before === undefined || before.secondClassConnections + imported < 2) return false;
  const [one, other] = [portable.counters.secondClassEvictions, xdp.counters.secondClassEvictions];
  return one === other && one > before.secondClassEvictions;
}

/**
 * The portable engine has no verdict, since it only gets a copy of a frame. Frames that it counts or answers are its own,
 * the rest are the kernel's.
 */
function verdictRemark(
  before: EngineCounters | undefined,
  outcome: Outcome,
  leftAlone: boolean,
  isGated: boolean,
): string | undefined {
  const touched = outcome.frames.length > 0 || !isDeepStrictEqual(dealtWith(before!), dealtWith(outcome.counters));
  if (touched && leftAlone) return 'xdp left the frame to the kernel';
  if (!touched && !leftAlone && !isGated) return 'xdp did not leave the frame to the kernel';
  return undefined;
}

/**
 * The counters of packets that the engine has dealt with. A packet that is not for it may still end an entry of a removed
 * service; one with a VLAN tag is counted, but is the kernel's.
 */
function dealtWith({ drops, services }: EngineCounters): unknown {
  return [{ ...drops, vlanTagged: 0 }, services.map(({ packetsIn, packetsOut }) => [packetsIn, packetsOut])];
}

/** The part of the past that decides which engine may answer. */
class World {
  #nowMs = 0;
  readonly #leasesUntilMs = new Map<number, number>();
  plan: ConfigurationPlan;
  isPublisherLate = false;
  #sweptAtMs = 0;
  /** Real servers that have left their service at some time. */
  readonly #removed = new Set<string>();
  #validAtSweep = virtualAddresses.map(() => true);

  constructor(plan: ConfigurationPlan) {
    this.plan = plan;
  }

  /** Whether the engine has to sweep after it. */
  follow(step: Step): boolean {
    if (step.do === 'publisher') this.isPublisherLate = step.is === 'late';
    if (step.do === 'configure') this.#configure(step.plan);
    if (step.do === 'lease') this.#leasesUntilMs.set(step.slot, this.#nowMs + step.forMs);
    if (step.do === 'frame') this.#nowMs += frameTimeMs;
    if (step.do === 'milliseconds') this.#nowMs += step.count;
    if (step.do === 'seconds') this.#nowMs += step.count * sweepPeriodMs;
    const isSweepDue = step.do === 'milliseconds' && this.#nowMs - this.#sweptAtMs >= sweepPeriodMs;
    if (isSweepDue || step.do === 'seconds') this.#sweptAtMs = this.#nowMs;
    return isSweepDue;
  }

  /**
   * The counters of a real server that comes back depend on whether the engine has freed it by then, which each does at
   * times of its own. The sum of its service is the same.
   */
  forgetReturned(counters: EngineCounters): void {
    for (const { name, realServers } of counters.services) {
      for (const server of realServers) {
        if (!this.#removed.has(`${name} ${server.address} ${server.port}`)) continue;
        Object.assign(server, { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 });
      }
    }
  }

  #configure(plan: ConfigurationPlan): void {
    const kept = new Set(realServersOf(plan));
    for (const name of realServersOf(this.plan)) if (!kept.has(name)) this.#removed.add(name);
    this.plan = plan;
  }

  /** Whether the lease of an address is valid that was not when the last sweep ended. */
  sweep(): boolean {
    const before = this.#validAtSweep;
    this.#validAtSweep = virtualAddresses.map((_, index) => this.#isValid(this.plan.leases[index] ?? -1));
    return this.#validAtSweep.some((isValid, index) => isValid && !before[index]!);
  }

  #isValid(slot: number): boolean {
    return slot < 0 || (this.#leasesUntilMs.get(slot) ?? 0) > this.#nowMs;
  }

  /**
   * A question for an address of ours without a lease gets no answer. The portable engine only stays silent, since such
   * an address is on no interface; an XDP program also keeps the question from the kernel.
   */
  isGated(plan: FramePlan): boolean {
    if (plan.body.sort !== 'arp' && plan.body.sort !== 'solicitation') return false;
    const frame = Buffer.from(frameOf(plan, this.plan));
    const slots = new Map(virtualAddresses.map((address, index) => [address as string, this.plan.leases[index]]));
    for (const [index, address] of gateways.entries()) slots.set(address, leaseSlots[index]);
    return [...slots].some(
      ([address, slot]) =>
        slot !== undefined && !this.#isValid(slot) && frame.includes(Buffer.from(ipAddressBytes(address as IpAddress))),
    );
  }
}

function realServersOf(plan: ConfigurationPlan): string[] {
  return configurationOf(plan).services.flatMap(({ service }) =>
    service.realServers.map(({ address, port }) => `${virtualServiceName(service)} ${address} ${port}`),
  );
}

async function take(
  engine: EngineUnderTest,
  step: Step,
  { plan, isPublisherLate }: World,
  isSweepDue: boolean,
): Promise<Outcome> {
  let frames: FrameOut[] = [];
  let imported: object | undefined;
  switch (step.do) {
    case 'frame':
      engine.idle(frameTimeMs);
      frames = await engine.send(step.plan.side, frameOf(step.plan, plan));
      break;
    case 'configure':
      await engine.configure(configurationOf(step.plan));
      break;
    case 'seconds':
      frames = await engine.advance(step.count * sweepPeriodMs, sweepPeriodMs);
      break;
    case 'milliseconds':
      engine.idle(step.count);
      if (isSweepDue) frames = await engine.advance(0);
      break;
    case 'lease':
      engine.setLease(step.slot, step.forMs);
      engine.idle(0);
      break;
    case 'import':
      imported = await engine.applyBatch(recordsOf(step.records, plan));
      break;
    case 'reachable':
      engine.setReachability(
        serverHosts[familyOfAddress(step.address)][step.host]!,
        step.is ? 'reachable' : 'unreachable',
      );
      break;
    case 'mtu':
      engine.setMtu(step.side, step.mtu);
      break;
    case 'publisher':
      engine.setPublisher(step.is);
      frames = engine.takeReleased();
      break;
    case 'peer':
      engine.setPeer(step.heard);
      break;
  }
  return {
    frames: frames.map(({ port, bytes }) => `${port} ${Buffer.from(bytes).toString('hex')}`),
    // To look at them would be to publish them.
    events: isPublisherLate ? [] : await eventsOf(engine, step),
    table: await tableOf(engine),
    counters: await engine.counters(),
    imported,
  };
}

/** In order, except for those of a sweep and of an import: each engine passes its entries in an order of its own. */
async function eventsOf(engine: EngineUnderTest, step: Step): Promise<string[]> {
  const batches = await engine.takeEvents();
  for (const batch of batches) forgetTouches(batch);
  const lines = batches.flatMap(describeRecords);
  return step.do === 'frame' ? lines : lines.sort();
}

/**
 * A sweep that passes a template after a connection of it has just found it used, one that passes it before has not: in the
 * refreshes that it publishes the time since its last use is up to a round longer.
 */
function forgetTouches(batch: Int32Array): void {
  for (let at = 0; at < batch.length; at += recordWords) {
    const { event, template } = unpackHead(batch[at]!);
    if (event === ConnectionEvent.refresh && template === true) batch[at + RecordOffset.idleMs] = 0;
  }
}

async function tableOf(engine: EngineUnderTest): Promise<string[]> {
  const lines: string[] = [];
  for (let cursor: number | undefined = 0; cursor !== undefined; ) {
    const page = await engine.exportPage(cursor, 100);
    lines.push(...describeRecords(page.batch));
    cursor = page.next;
  }
  return lines.sort();
}

function describeRecords(batch: Int32Array): string[] {
  return Array.from({ length: batch.length / recordWords }, (_, index) =>
    batch.subarray(index * recordWords, (index + 1) * recordWords).join(' '),
  );
}
