// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../../director/address-plan.ts';
import { Election } from '../../director/election/election.ts';
import type { ElectionFailure } from '../../director/election/election-view.ts';
import { electRouter, routerStatus } from '../../director/election/running-router.ts';
import type { VrrpTransport } from '../../director/ports.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { Family } from '../../lib/ip-address.ts';
import type { Log } from '../../lib/log.ts';
import type { VirtualRouter } from '../../model/virtual-router.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { RtnetlinkAddressKeeper, renewalPeriodMs } from '../../platform/linux/netlink/address-keeper.ts';
import { interfaceFacts, primaryAddress } from '../../platform/linux/netlink/interface-facts.ts';
import { monitorLinks } from '../../platform/linux/netlink/link-monitor.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import { requestRealTime } from '../../platform/linux/process/realtime.ts';
import { SegmentAnnouncer } from '../../platform/linux/vrrp/announce.ts';
import { RawVrrpTransport } from '../../platform/linux/vrrp/vrrp-socket.ts';
import { VrrpSuccession } from '../../succession/vrrp-succession.ts';
import { watchEngine } from '../engine/watch.ts';
import type { FromVrrpProcess, ToVrrpProcess, VrrpRequest } from './requests.ts';

/** The descriptor at which the director passes the lease memory: the first after the channel's. */
export const leaseDescriptor = 4;
const faultPeriodMs = 1_000;

/**
 * The vrrp process: the election and nothing else, so that nothing else can hold it up. It is told what to do over the
 * channel. When that closes unasked, it resigns at once where the director itself forwards. Where the kernel does, which
 * its start with a run-dir says, it goes on for a grace period: a restarted director can succeed it.
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
  const log: Log = (level, sentence, fields = {}) => {
    const { router } = fields;
    if (!process.connected) succession?.note({ level, sentence, ...(typeof router === 'string' ? { router } : {}) });
    tell({ kind: 'log', level, sentence, fields });
  };
  const notReal = requestRealTime();
  if (notReal !== undefined) log('info', `the vrrp process runs without real-time priority: ${notReal}`);

  const transport = new RawVrrpTransport();
  const addressKeeper = new RtnetlinkAddressKeeper();
  setInterval(() => addressKeeper.renew(), renewalPeriodMs);
  const leases = LeaseMemory.attach(leaseDescriptor);
  const election = new Election({
    clock,
    transport,
    addressKeeper,
    announcer: new SegmentAnnouncer(),
    leaseWriter: leases,
    log: (level, sentence, router) => log(level, sentence, router === undefined ? {} : { router }),
    onChange: () => tell({ kind: 'active', names: activeNames(election) }),
  });
  if (succession === undefined) watch(election, clock, leases, log);
  const stopMonitoring = monitorLinks((interfaceName, up) => election.linkChanged(interfaceName, up));
  setInterval(() => mendFaults(election), faultPeriodMs);
  let stopped = false;
  const stop = async (): Promise<void> => {
    stopped = true;
    stopMonitoring();
    await election.stop();
    transport.close();
    succession?.close();
  };
  const end = (): void => void stop().finally(() => process.exit(0));
  const succeed = async (assignments: readonly RouterAssignment[], successorNumber: number): Promise<void> => {
    for (const { router } of assignments) prepare(transport, router);
    if (succession === undefined) return;
    const record = await succession.replacePredecessor(successorNumber, log);
    if (record === undefined) return;
    election.continueFrom(record);
    addressKeeper.renew();
  };

  // One after the other: that the channel has closed while the predecessor is being replaced is dealt with after that.
  let requests = Promise.resolve();
  process.on('message', (message: ToVrrpProcess) => {
    if (message.id === undefined) election.setGate(message.gateOpen);
    else
      requests = requests.then(() =>
        answer({ election, clock, succession, succeed, stop }, message.id, message.request),
      );
  });
  process.on('disconnect', () => {
    requests = requests.then(() => {
      if (stopped || succession?.listening !== true) return end();
      succession.beginGracePeriod(clock, election, end);
    });
  });
  // Ctrl-C and a closing terminal reach the whole process group; the director decides what they mean, if there is one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (signal !== 'SIGHUP') succession?.endGracePeriod();
    });
  }
  tell({ kind: 'ready' });
}

/** Advertisements alone would keep the addresses at a director whose own engine stands still. */
function watch(election: Election, clock: MonotonicClock, leases: LeaseMemory, log: Log): void {
  watchEngine({
    clock,
    leases,
    onSilent: () => {
      const names = election.handOver();
      if (names.length > 0) log('error', 'the engine stands still, so its virtual routers are handed over', { names });
    },
    onAlive: () => {
      log('warn', 'the engine turns again');
      election.releaseHold();
    },
  });
}

/** Opens its sockets before another process falls silent for this one. What fails is said when it is configured. */
function prepare(transport: VrrpTransport, router: VirtualRouter): void {
  try {
    transport.open(router.interface, router.family, router);
  } catch {
    // The election opens it again.
  }
}

interface Answering {
  readonly election: Election;
  readonly clock: MonotonicClock;
  readonly succession: VrrpSuccession | undefined;
  readonly succeed: (assignments: readonly RouterAssignment[], successorNumber: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

async function answer(parts: Answering, id: number, request: VrrpRequest): Promise<void> {
  const { election, clock, succession, succeed, stop } = parts;
  try {
    switch (request.kind) {
      case 'configure': {
        const { assignments, predecessor } = request;
        if (predecessor !== undefined) await succeed(assignments, predecessor.successorNumber);
        const failures: readonly ElectionFailure[] = election.configure(assignments.map(electRouter));
        succession?.listen();
        return tell({ kind: 'answer', id, value: failures.map(({ sentence }) => sentence) });
      }
      case 'holdDescriptors':
        succession?.holdDescriptors();
        return tell({ kind: 'answer', id, value: undefined });
      case 'handOver':
        return tell({ kind: 'answer', id, value: election.handOver() });
      case 'status': {
        const nowMs = clock.nowMs();
        return tell({ kind: 'answer', id, value: election.view().routers.map((view) => routerStatus(view, nowMs)) });
      }
      case 'stop':
        await stop();
        return tell({ kind: 'answer', id, value: undefined });
    }
  } catch (error) {
    return tell({ kind: 'refused', id, sentence: errorSentence(error) });
  }
}

/**
 * A virtual router whose interface was missing, or had no address, takes part as soon as it has one. A link that is down
 * keeps its addresses, so they alone say nothing. An IPv6 address is
 * no source until duplicate address detection is done with it, a second or two after the link came up.
 */
function mendFaults(election: Election): void {
  const faulty = election.view().routers.filter(({ state }) => state === 'fault');
  for (const name of new Set(faulty.map((router) => router.interface))) {
    const families = faulty.filter((router) => router.interface === name).map(({ family }) => family);
    if (families.some((family) => canSendFrom(name, family))) election.linkChanged(name, true);
  }
}

function canSendFrom(interfaceName: string, family: Family): boolean {
  try {
    const facts = interfaceFacts(interfaceName);
    return facts.up && facts.running && primaryAddress(facts, family) !== undefined;
  } catch {
    return false;
  }
}

function activeNames(election: Election): string[] {
  return election
    .view()
    .routers.filter(({ state }) => state === 'active')
    .map(({ name }) => name);
}

/** Never waits for the director: with the channel full or closed the message is lost. */
function tell(message: FromVrrpProcess): void {
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}
