// SPDX-License-Identifier: Apache-2.0
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Engine } from '../engine/engine.ts';
import type { XdpInterface } from '../engine/xdp/addresses.ts';
import type { BpfDescriptor, BpfObject, XdpLink } from '../engine/xdp/bpf-object.ts';
import { layoutFingerprint } from '../engine/xdp/layout/fingerprint.ts';
import { defaultXdpLimits, loadSettings } from '../engine/xdp/load-settings.ts';
import { type NextHopSink, NextHops } from '../engine/xdp/next-hops.ts';
import { type NextHopSource, XdpEngine } from '../engine/xdp/xdp-engine.ts';
import type { Log } from '../lib/log.ts';
import { loadAndAttach, openXdpLink } from '../platform/linux/bpf/attachment.ts';
import { shippedObjectPath } from '../platform/linux/bpf/load.ts';
import { openBpfObject } from '../platform/linux/bpf/object.ts';
import { possibleCpuCount } from '../platform/linux/bpf/possible-cpus.ts';
import { openRingReader } from '../platform/linux/bpf/ring-reader.ts';
import { coarseClockLagNs } from '../platform/linux/coarse-clock.ts';
import { interfaceFacts } from '../platform/linux/interface-facts.ts';
import { LeaseMemory } from '../platform/linux/lease-memory.ts';
import { close } from '../platform/linux/libc.ts';
import { MonotonicClock } from '../platform/linux/monotonic-clock.ts';
import { RouteFollower } from '../platform/linux/route-follower.ts';
import type { Forwarding } from './forwarding.ts';
import type { KeptDescriptors } from './vrrp-succession.ts';
import { XdpAttachments } from './xdp-attachments.ts';

const tickPeriodMs = 10;
/** The program of the object that is attached. */
export const dataPath = 'baton';

/** What a former director has left: see `KeptDescriptors`. */
export interface XdpLegacy {
  readonly object: BpfObject;
  readonly links: readonly XdpLink[];
}

/**
 * Starts the engine in the kernel on these interfaces, or goes on with one that a former director has left. Throws a
 * sentence when kernel, privilege or an interface stands in the way.
 */
export function startXdpForwarding(
  interfaces: readonly string[],
  former: KeptDescriptors | undefined,
  log: Log,
): Forwarding {
  const clock = new MonotonicClock();
  const legacy = former === undefined ? undefined : adopt(former, log);
  const { object, links } = legacy ?? load(interfaces, log);
  const follower = { route: undefined as RouteFollower | undefined };
  const nextHops = (
    sink: NextHopSink,
    onHopChanged: ConstructorParameters<typeof NextHops>[0]['onHopChanged'],
  ): NextHopSource => {
    const hops = new NextHops({
      sink,
      clock,
      ask: (index, address) => follower.route?.ask(index, address),
      ...(onHopChanged === undefined ? {} : { onHopChanged }),
    });
    follower.route = new RouteFollower({
      clock,
      onEvents: (events) => hops.apply(events),
      onWarning: (sentence) => log('warn', sentence),
    });
    return hops;
  };
  const engine = new XdpEngine({
    object,
    clock,
    interfaces: interfaces.map(describeInterface),
    nextHops,
    missingNeighbours: openRingReader(object.maps.get('missing_neighbours')!),
  });
  follower.route!.start();
  engine.completeNextHops();
  const attachments = new XdpAttachments({
    names: interfaces,
    links,
    program: object.programs.get(dataPath)!,
    onChanged: (present) => {
      engine.setInterfaces(present);
      forwarding.onKeptChanged(keptOf(object, attachments.links));
    },
    log,
  });
  const timer = setInterval(() => engine.tick(), tickPeriodMs);
  let fail: (error: Error) => void = () => undefined;
  const forwarding: Forwarding = {
    engine: closing(engine, async () => {
      clearInterval(timer);
      attachments.close();
      await follower.route!.close();
      await engine.close();
    }),
    leases: LeaseMemory.attach(object.maps.get('leases')!.fd),
    openLine: () => ({ kind: 'xdp', descriptors: object.descriptors() }),
    verifyInterface: (name) => {
      if (interfaces.includes(name)) return;
      throw new Error(`the xdp engine opens its interfaces when it starts, and ${name} was not one; restart baton`);
    },
    kept: keptOf(object, attachments.links),
    onKeptChanged: () => undefined,
    ended: new Promise<Error>((resolve) => {
      fail = resolve;
    }),
  };
  void fail;
  return forwarding;
}

/** What is known of an interface that the program is on. */
export function describeInterface(name: string): XdpInterface {
  const { index, macAddress, mtu } = interfaceFacts(name);
  return { name, index, macAddress, mtu };
}

function load(interfaces: readonly string[], log: Log): XdpLegacy {
  const host = {
    processors: possibleCpuCount(),
    clockLagNs: coarseClockLagNs(),
    // Nobody may be able to choose flows that meet in one bucket.
    hashSeed: randomBytes(8).readBigUInt64LE(),
  };
  const indexes = interfaces.map((name) => interfaceFacts(name).index);
  const { object, links, warnings } = loadAndAttach(loadSettings(defaultXdpLimits, host), dataPath, indexes);
  for (const warning of warnings) log('warn', warning);
  return { object, links };
}

/**
 * Goes on with what a former director has left, if it is the same program: then connections and counters go on too. Of
 * another one nothing is read; its links end with its descriptors, and the connections come from the peer.
 */
function adopt({ label, descriptors }: KeptDescriptors, log: Log): XdpLegacy | undefined {
  if (label !== programLabel()) {
    log(
      'warn',
      'the former director ran another version of the XDP program, which is replaced; connections are learnt from the peer',
      {
        former: label,
        present: programLabel(),
      },
    );
    for (const { name, fd } of descriptors) {
      if (name.startsWith('link ')) openXdpLink(fd).detach();
      close(fd);
    }
    return undefined;
  }
  const links: XdpLink[] = [];
  const parts: BpfDescriptor[] = [];
  for (const { name, fd } of descriptors) {
    const [kind = '', ...rest] = name.split(' ');
    if (kind === 'link') links.push(openXdpLink(fd));
    else if (kind === 'map' || kind === 'program') parts.push({ kind, name: rest.join(' '), fd });
  }
  log('info', 'goes on with the connections of the former director');
  return { object: openBpfObject(parts), links };
}

function keptOf(object: BpfObject, links: readonly XdpLink[]): KeptDescriptors {
  return {
    label: programLabel(),
    descriptors: [
      ...object.descriptors().map(({ kind, name, fd }) => ({ name: `${kind} ${name}`, fd })),
      ...links.map(({ interfaceIndex, fd }) => ({ name: `link ${interfaceIndex}`, fd })),
    ],
  };
}

let label: string | undefined;

/** Names the program and the layouts of its maps exactly: another one is never misread. */
function programLabel(): string {
  label ??= `${layoutFingerprint} ${createHash('sha256').update(readFileSync(shippedObjectPath)).digest('hex')}`;
  return label;
}

/** The engine, whose end is also that of what it stands on. */
function closing(engine: XdpEngine, close: () => Promise<void>): Engine {
  return {
    kind: 'xdp',
    configure: (configuration) => engine.configure(configuration),
    counters: () => engine.counters(),
    onEvents: (listener, onOverrun) => engine.onEvents(listener, onOverrun),
    exportPage: (cursor, recordsMax) => engine.exportPage(cursor, recordsMax),
    importBatch: (batch) => engine.importBatch(batch),
    close,
  };
}
