// SPDX-License-Identifier: Apache-2.0
import { Election } from '../director/election.ts';
import { electRouter, routerStatus } from '../director/election-router.ts';
import type { ElectionFailure } from '../director/election-view.ts';
import type { Family } from '../lib/ip-address.ts';
import type { LogLevel } from '../lib/log.ts';
import { RtnetlinkAddressKeeper, renewalPeriodMs } from '../platform/linux/address-keeper.ts';
import { SegmentAnnouncer } from '../platform/linux/announce.ts';
import { interfaceFacts, primaryAddress } from '../platform/linux/interface-facts.ts';
import { LeaseMemory } from '../platform/linux/lease-memory.ts';
import { monitorLinks } from '../platform/linux/link-monitor.ts';
import { MonotonicClock } from '../platform/linux/monotonic-clock.ts';
import { requestRealTime } from '../platform/linux/realtime.ts';
import { RawVrrpTransport } from '../platform/linux/vrrp-socket.ts';
import { watchEngine } from './engine-watch.ts';
import type { FromVrrpProcess, ToVrrpProcess, VrrpRequest } from './vrrp-messages.ts';

/** The descriptor at which the director passes the lease memory: the first after the channel's. */
export const leaseDescriptor = 4;
const faultPeriodMs = 1_000;

/**
 * The vrrp process: the election and nothing else, so that nothing else can hold it up. It is told what to do over the
 * channel, and resigns at once when the channel closes: without its director nobody forwards.
 */
export function runVrrpProcess(): void {
  try {
    runElection();
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    process.send?.({ kind: 'unable', sentence } satisfies FromVrrpProcess, undefined, {}, () => process.exit(1));
  }
}

function runElection(): void {
  const clock = new MonotonicClock();
  const log = (level: LogLevel, sentence: string, fields: Record<string, unknown> = {}): void =>
    tell({ kind: 'log', level, sentence, fields });
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
  const stopMonitoring = monitorLinks((interfaceName, up) => election.linkChanged(interfaceName, up));
  setInterval(() => mendFaults(election), faultPeriodMs);
  const stop = async (): Promise<void> => {
    stopMonitoring();
    await election.stop();
    transport.close();
  };

  process.on('message', (message: ToVrrpProcess) => {
    if (message.id === undefined) election.setGate(message.gateOpen);
    else void answer(election, stop, message.id, message.request, clock);
  });
  // Ctrl-C and a closing terminal reach the whole process group; the director decides what they mean.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('disconnect', () => void stop().finally(() => process.exit(0)));
  tell({ kind: 'ready' });
}

async function answer(
  election: Election,
  stop: () => Promise<void>,
  id: number,
  request: VrrpRequest,
  clock: MonotonicClock,
): Promise<void> {
  try {
    switch (request.kind) {
      case 'configure': {
        const failures: readonly ElectionFailure[] = election.configure(request.assignments.map(electRouter));
        return tell({ kind: 'answer', id, value: failures.map(({ sentence }) => sentence) });
      }
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
    return tell({ kind: 'refused', id, sentence: error instanceof Error ? error.message : String(error) });
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
