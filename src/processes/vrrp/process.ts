// SPDX-License-Identifier: Apache-2.0

import type { RouterAssignment } from '../../director/address-plan.ts';
import { Election } from '../../director/election/election.ts';
import type { ElectionFailure } from '../../director/election/election-view.ts';
import { routerStatus } from '../../director/election/running-router.ts';
import { RealServerRoutes } from '../../director/election/tracking/real-server-routes.ts';
import { Tracking } from '../../director/election/tracking/tracking.ts';
import type { ElectionPorts, VrrpTransport } from '../../director/ports.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Log } from '../../lib/log.ts';
import { type Served, serveLater } from '../../lib/request-line.ts';
import { Sign } from '../../model/lease.ts';
import { borrowedAddresses, type VirtualRouter } from '../../model/virtual-router.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { RtnetlinkAddressKeeper, renewalPeriodMs } from '../../platform/linux/netlink/address-keeper.ts';
import type { InterfaceFacts } from '../../platform/linux/netlink/interface-facts.ts';
import { InterfaceFollower } from '../../platform/linux/netlink/interface-follower.ts';
import { RouteLookup } from '../../platform/linux/netlink/route-lookup.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import { requestRealTime } from '../../platform/linux/process/realtime.ts';
import { SegmentAnnouncer } from '../../platform/linux/vrrp/announce.ts';
import { RawVrrpTransport } from '../../platform/linux/vrrp/vrrp-socket.ts';
import { VrrpSuccession } from '../../succession/vrrp-succession.ts';
import { watchEngine } from '../engine/watch.ts';
import { HeardTeller } from './heard-teller.ts';
import type { FromVrrpProcess, ToVrrpProcess, VrrpRequests } from './requests.ts';
import { PartsWatch } from './watch.ts';

/** The descriptor at which the director passes the lease memory: the first after the channel's. */
export const leaseDescriptor = 4;
/** An IPv6 address can be a source only after duplicate address detection, a second or two after the link came up. */
const pollPeriodMs = 1_000;
/** Each look at the routes of many virtual routers takes milliseconds, and routes may change without end. */
const routePeriodMs = 40;

/**
 * The vrrp process runs the election and nothing else, so that nothing else can delay it. The director controls it over
 * the channel. When the channel closes unasked, the process resigns at once if the director itself forwards. If the
 * kernel forwards, in which case a run-dir was given, it goes on for a grace period: a restarted director can succeed
 * it.
 */
export function runVrrpProcess(runDirectory = process.argv[3]): void {
  try {
    runElection(runDirectory === undefined ? undefined : new VrrpSuccession(runDirectory));
  } catch (error) {
    const sentence = errorSentence(error);
    process.send?.({ kind: 'unable', sentence } satisfies FromVrrpProcess, undefined, {}, () => process.exit(1));
  }
}

function runElection(succession: VrrpSuccession | undefined): void {
  const clock = new MonotonicClock();
  const log = logThrough(succession);
  const notReal = requestRealTime();
  if (notReal !== undefined) log('info', `the vrrp process runs without real-time priority: ${notReal}`);

  const interfaces = new InterfaceFollower();
  const factsOf = (name: string): InterfaceFacts => interfaces.facts(name);
  const transport = new RawVrrpTransport(factsOf);
  const addressKeeper = new RtnetlinkAddressKeeper();
  setInterval(() => addressKeeper.renew(), renewalPeriodMs);
  const leases = LeaseMemory.attach(leaseDescriptor);
  const ports: ElectionPorts = {
    clock,
    transport,
    addressKeeper,
    announcer: new SegmentAnnouncer(undefined, factsOf),
    leaseWriter: leases,
    log: (level, sentence, router) => log(level, sentence, router === undefined ? {} : { router }),
    onChange: ({ state }, change) => {
      tell({ kind: 'active', names: activeNames(election) });
      if (change.kind === 'transition') tell({ kind: 'transition', from: change.from, to: state.kind });
      heard.changed();
    },
  };
  const routes = new RouteLookup();
  const election = new Election(
    ports,
    trackingOf(ports, routes, () => election.observe({ kind: 'verdict' })),
  );
  const heard = new HeardTeller(election, tell);
  const gate = new Gate(election);
  const parts = watchParts({ election, clock, leases, log, gate });
  if (succession === undefined) watch(election, clock, leases, log, parts);
  observeHost(election, interfaces, routes, heard);
  let stopped = false;
  const stop = async (): Promise<void> => {
    stopped = true;
    interfaces.close();
    await election.stop();
    transport.close();
    succession?.close();
  };
  const end = (): void => void stop().finally(() => process.exit(0));
  const succeed = async (assignments: readonly RouterAssignment[], successorNumber: number): Promise<void> => {
    const virtualAddresses = borrowedAddresses(assignments.map(({ router }) => router));
    for (const { router } of assignments) prepare(transport, router, virtualAddresses);
    if (succession === undefined) return;
    const record = await succession.replacePredecessor(successorNumber, log);
    if (record === undefined) return;
    election.continueFrom(record);
    addressKeeper.renew();
  };

  // One after the other: if the channel closes while the predecessor is being replaced, that is handled afterwards.
  let requests = Promise.resolve();
  const procedures = proceduresOf({ election, clock, succession, succeed, stop });
  process.on('message', (message: ToVrrpProcess) => {
    if ('gateOpen' in message) gate.setOpen(message.gateOpen);
    else requests = requests.then(async () => tell(await serveLater(procedures, message)));
  });
  process.on('disconnect', () => {
    requests = requests.then(() => {
      if (stopped || succession?.listening !== true) return end();
      succession.beginGracePeriod(clock, election, end);
    });
  });
  leaveSignalsToDirector(succession);
  tell({ kind: 'ready' });
}

/** To the director, or while there is none to its successor. */
function logThrough(succession: VrrpSuccession | undefined): Log {
  return (level, sentence, fields = {}) => {
    const { router } = fields;
    if (!process.connected) succession?.note({ level, sentence, ...(typeof router === 'string' ? { router } : {}) });
    tell({ kind: 'log', level, sentence, fields });
  };
}

/** Ctrl-C and a closing terminal reach the whole process group; if there is a director, it reacts to them. */
function leaveSignalsToDirector(succession: VrrpSuccession | undefined): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (signal !== 'SIGHUP') succession?.endGracePeriod();
    });
  }
}

function trackingOf(ports: ElectionPorts, routes: RouteLookup, onChange: () => void): Tracking {
  const { clock } = ports;
  return new Tracking(ports, [new RealServerRoutes({ clock, hasRoute: (each) => routes.hasRoute(each), onChange })]);
}

function observeHost(election: Election, interfaces: InterfaceFollower, routes: RouteLookup, heard: HeardTeller): void {
  interfaces.start({
    onLink: (name, up) => election.observe({ kind: 'link', interface: name, up }),
    onAddresses: (name) => election.observe({ kind: 'addresses', interface: name }),
  });
  setInterval(() => {
    if (routes.changed()) election.observe({ kind: 'routes' });
  }, routePeriodMs);
  setInterval(() => poll(election, heard), pollPeriodMs);
}

/** Advertisements alone would keep the addresses at a director whose own engine stands still. */
function watch(election: Election, clock: MonotonicClock, leases: LeaseMemory, log: Log, parts: PartsWatch): void {
  watchEngine({
    clock,
    leases,
    onSilent: () => {
      const names = election.handOver();
      if (names.length > 0) log('error', 'the engine stands still, so its virtual routers are handed over', { names });
    },
    onAlive: () => {
      log('warn', 'the engine turns again');
      // What else hung decides: it takes longer to be well again.
      if (!parts.holds) election.releaseHold();
    },
  });
}

/** Advertisements alone would also keep them at a director that checks no real server, or publishes no connection. */
function watchParts({ election, clock, leases, log, gate }: WatchedParts): PartsWatch {
  return new PartsWatch({
    clock,
    signedUntilMs: (part) => leases.signedUntilMs(part),
    hasDirector: () => process.connected,
    active: () => activeNames(election),
    handOver: () => void election.handOver(),
    release: () => election.releaseHold(),
    stay: () => leases.sign(Sign.publisher, Number.POSITIVE_INFINITY),
    onLate: (isLate) => gate.setLate(isLate),
    onOutdated: (isOutdated) => gate.setOutdated(isOutdated),
    log,
  });
}

interface WatchedParts {
  readonly election: Election;
  readonly clock: MonotonicClock;
  readonly leases: LeaseMemory;
  readonly log: Log;
  readonly gate: Gate;
}

/** The gate as the director has told it, closed while a part of the director stands still, or may have told otherwise since. */
class Gate {
  readonly #election: Election;
  #open = false;
  #late = false;
  #outdated = false;

  constructor(election: Election) {
    this.#election = election;
  }

  setOpen(open: boolean): void {
    this.#open = open;
    this.#tell();
  }

  setLate(late: boolean): void {
    this.#late = late;
    this.#tell();
  }

  setOutdated(outdated: boolean): void {
    this.#outdated = outdated;
    this.#tell();
  }

  #tell(): void {
    this.#election.setGate(this.#open && !this.#late && !this.#outdated);
  }
}

/** Opens the sockets before the predecessor falls silent. A failure is reported later, by `configure`. */
function prepare(transport: VrrpTransport, router: VirtualRouter, virtualAddresses: ReadonlySet<IpAddress>): void {
  try {
    transport.open(router.interface, router.family, { ...router, virtualAddresses });
  } catch {
    // The election opens it again.
  }
}

interface ProcessParts {
  readonly election: Election;
  readonly clock: MonotonicClock;
  readonly succession: VrrpSuccession | undefined;
  readonly succeed: (assignments: readonly RouterAssignment[], successorNumber: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

function proceduresOf({ election, clock, succession, succeed, stop }: ProcessParts): Served<VrrpRequests> {
  return {
    configure: async (assignments, successorNumber) => {
      if (successorNumber !== undefined) await succeed(assignments, successorNumber);
      const failures: readonly ElectionFailure[] = election.configure(assignments);
      succession?.listen();
      return failures.map(({ sentence }) => sentence);
    },
    holdDescriptors: () => {
      succession?.holdDescriptors();
      return undefined;
    },
    handOver: () => election.handOver(),
    status: () => {
      const nowMs = clock.nowMs();
      return election.view().routers.map((view) => routerStatus(view, nowMs));
    },
    stop: async () => {
      await stop();
      return undefined;
    },
  };
}

function poll(election: Election, heard: HeardTeller): void {
  election.observe({ kind: 'poll' });
  heard.changed();
}

function activeNames(election: Election): string[] {
  return election
    .view()
    .routers.filter(({ state }) => state.kind === 'active')
    .map(({ assignment }) => assignment.router.name);
}

/** Never waits for the director: with the channel full or closed the message is lost. */
function tell(message: FromVrrpProcess): void {
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}
