// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';
import type { Engine } from '../../engine/engine.ts';
import type { XdpInterface } from '../../engine/xdp/addresses.ts';
import { defaultXdpLimits, loadSettings } from '../../engine/xdp/load-settings.ts';
import { type NextHopSettings, type NextHopSink, NextHops } from '../../engine/xdp/next-hops.ts';
import { type NextHopSource, XdpEngine } from '../../engine/xdp/xdp-engine.ts';
import type { Log } from '../../lib/log.ts';
import { attachXdp, loadAndAttach } from '../../platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../platform/linux/bpf/load.ts';
import { possibleCpuCount } from '../../platform/linux/bpf/possible-cpus.ts';
import { openRingReader } from '../../platform/linux/bpf/ring-reader.ts';
import { coarseClockLagNs } from '../../platform/linux/coarse-clock.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { interfaceFacts } from '../../platform/linux/netlink/interface-facts.ts';
import { RouteFollower } from '../../platform/linux/netlink/route-follower.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import type { SuccessorDescriptors } from '../../succession/successor-descriptors.ts';
import {
  descriptorsForSuccessor,
  openXdpPredecessor,
  replaceProgram,
  type XdpPredecessor,
} from '../../succession/xdp-predecessor.ts';
import type { Forwarding } from './forwarding.ts';
import { XdpAttachments } from './xdp-attachments.ts';

const tickPeriodMs = 10;
/** Short compared with every timeout, long compared with the time between two packets of a busy connection. */
const seenGrainMs = 64;
/** The program of the object that is attached. */
const dataPath = 'baton';

/**
 * Starts the engine in the kernel on these interfaces, or continues with the predecessor's. Throws a sentence when the
 * kernel, a privilege or an interface does not allow it.
 */
export function startXdpForwarding(
  interfaces: readonly string[],
  received: SuccessorDescriptors | undefined,
  log: Log,
): Forwarding {
  const clock = new MonotonicClock();
  const predecessor = received === undefined ? undefined : openXdpPredecessor(received, log);
  const { object, links } = predecessor?.same ? predecessor : load(interfaces, predecessor, log);
  if (predecessor?.same) log('info', 'goes on with the connections of the former director');
  const program = object.programs.get(dataPath)!;
  const following = followRoutes(clock, log);
  const engine = new XdpEngine({
    object,
    clock,
    interfaces: interfaces.map(describeInterface),
    nextHops: following.nextHops,
    missingNeighbours: openRingReader(object.maps.get('missing_neighbours')!),
  });
  following.follower().start();
  engine.completeNextHops();
  const attachments = new XdpAttachments({
    names: interfaces,
    links,
    attach: (index) => attachXdp(program, index),
    find: findInterface,
    onChanged: (present) => {
      engine.setInterfaces(present);
      forwarding.onForSuccessorChanged(descriptorsForSuccessor(object, attachments.links));
    },
    log,
  });
  const leases = LeaseMemory.attach(object.maps.get('leases')!.fd);
  const timer = setInterval(() => engine.tick(), tickPeriodMs);
  const forwarding: Forwarding = {
    engine: withEnds(
      engine,
      predecessor === undefined || predecessor.same
        ? undefined
        : () => replaceProgram(predecessor, { object, program, engine }, log),
      async () => {
        clearInterval(timer);
        attachments.close();
        await following.follower().close();
        await engine.close();
      },
    ),
    leases,
    openLine: () => ({ kind: 'xdp', descriptors: object.descriptors(), leaseFd: leases.fd }),
    verifyInterface: (name) => {
      if (interfaces.includes(name)) return;
      throw new Error(`the xdp engine opens its interfaces when it starts, and ${name} was not one; restart baton`);
    },
    forSuccessor: descriptorsForSuccessor(object, attachments.links),
    onForSuccessorChanged: () => undefined,
    // The kernel does not die before this process.
    ended: new Promise<Error>(() => undefined),
  };
  return forwarding;
}

/** The kernel's routes and neighbours, for an engine that takes them into its maps. */
function followRoutes(clock: MonotonicClock, log: Log) {
  let follower: RouteFollower | undefined;
  return {
    nextHops: (sink: NextHopSink, onHopChanged: NonNullable<NextHopSettings['onHopChanged']>): NextHopSource => {
      const ask: NextHopSettings['ask'] = (index, address, startOver) => follower?.ask(index, address, startOver);
      const hops = new NextHops({ sink, clock, ask, onHopChanged });
      follower = new RouteFollower({
        clock,
        onEvents: (events) => hops.apply(events),
        onWarning: (sentence) => log('warn', sentence),
      });
      return hops;
    },
    /** Once the engine has asked for next hops. */
    follower: (): RouteFollower => follower!,
  };
}

/** The engine's description of an interface. Throws when there is none of this name. */
function describeInterface(name: string): XdpInterface {
  const { index, macAddress, mtu } = interfaceFacts(name);
  return { name, index, macAddress, mtu };
}

function findInterface(name: string): XdpInterface | undefined {
  try {
    return describeInterface(name);
  } catch {
    return undefined;
  }
}

/** A new program: attached at once, unless another version's is in its place until the table has been copied. */
function load(
  interfaces: readonly string[],
  predecessor: XdpPredecessor | undefined,
  log: Log,
): Omit<XdpPredecessor, 'same'> {
  const host = {
    processors: possibleCpuCount(),
    // The program asks once a tick, and may do so just before the clock moves on with it.
    clockLagNs: 2 * coarseClockLagNs(),
    seenGrainMs,
    // A secret seed: clients must not be able to choose flows that share a bucket.
    hashSeed: randomBytes(8).readBigUInt64LE(),
  };
  const settings = loadSettings(defaultXdpLimits, host);
  if (predecessor !== undefined) return { object: loadBpfObject(settings), links: predecessor.links };
  const indexes = interfaces.map((name) => interfaceFacts(name).index);
  const { object, links, warnings } = loadAndAttach(settings, dataPath, indexes);
  for (const warning of warnings) log('warn', warning);
  return { object, links };
}

/** The engine, with tasks to run after its first configuration and at its end. */
function withEnds(
  engine: XdpEngine,
  onConfigured: (() => Promise<void>) | undefined,
  close: () => Promise<void>,
): Engine {
  let pending = onConfigured;
  return {
    kind: 'xdp',
    configure: async (configuration) => {
      await engine.configure(configuration);
      const begin = pending;
      pending = undefined;
      await begin?.();
    },
    counters: () => engine.counters(),
    onEvents: (listener, onOverrun) => engine.onEvents(listener, onOverrun),
    exportPage: (cursor, recordsMax) => engine.exportPage(cursor, recordsMax),
    expectRecords: (forMs) => engine.expectRecords(forMs),
    applyBatch: (batch) => engine.applyBatch(batch),
    close,
  };
}
