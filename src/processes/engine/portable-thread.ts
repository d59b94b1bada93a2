// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { runEngineThread } from '../../engine/portable/engine-thread.ts';
import { PortableEngine } from '../../engine/portable/portable-engine.ts';
import type { LogLevel } from '../../lib/log.ts';
import { engineLifeSlot } from '../../model/lease.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { RtnetlinkNextHopResolver } from '../../platform/linux/netlink/next-hop-resolver.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import { requestPreference } from '../../platform/linux/process/realtime.ts';
import { Wake } from '../../platform/linux/process/wake.ts';
import { EngineInterfaces } from './portable-interfaces.ts';
import { engineSilenceMaxMs } from './watch.ts';

/** Between two signs of life, and between two looks for new request lines. */
const roundUpkeepMs = 5;

export interface EngineThreadSettings {
  readonly interfaces: readonly string[];
  readonly leaseFd: number;
  readonly wakeFd: number;
}

/** A line on which the engine takes requests from now on. */
export interface AdoptPort {
  readonly adopt: MessagePort;
}

export type FromEngineThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly sentence: string };

/** The portable engine on the interfaces of this host. Blocks its thread until it is asked to close. */
export function runEngine({ interfaces, leaseFd, wakeFd }: EngineThreadSettings): void {
  const parent = parentPort;
  if (parent === null) throw new Error('the portable engine runs in a thread of its own');
  // If the preference is refused, packets only wait a little longer on a busy machine.
  requestPreference();
  const clock = new MonotonicClock();
  const wake = new Wake(wakeFd);
  const leases = LeaseMemory.attach(leaseFd);
  const tell = (message: FromEngineThread): void => parent.postMessage(message);
  const resolver = new RtnetlinkNextHopResolver([], clock);
  const host = new EngineInterfaces({
    names: interfaces,
    otherFds: [resolver.fd, wake.fd],
    onReopened: (ports) => resolver.setPorts(ports),
    log: (level, sentence) => tell({ kind: 'log', level, sentence }),
  });
  resolver.setPorts(host.ports);
  const nowMs = (): number => clock.nowMs();
  // A secret seed: clients must not be able to choose the chain of the table for their connections.
  const limits = { hashSeed: randomInt(2 ** 32) };
  const engine = new PortableEngine({ ports: host.ports, resolver, leases, publisher: leases, nowMs, limits });
  const requests: MessagePort[] = [];
  let signedUntilMs = 0;
  tell({ kind: 'ready' });
  runEngineThread({
    engine,
    nowMs,
    requests,
    rounds: leases,
    onConfigured: ({ addresses }) => host.answerFor(addresses),
    onRound: (roundMs) => {
      host.follow(roundMs);
      if (signedUntilMs - roundMs > engineSilenceMaxMs - roundUpkeepMs) return;
      signedUntilMs = roundMs + engineSilenceMaxMs;
      leases.grant(engineLifeSlot, signedUntilMs);
      for (;;) {
        const received = receiveMessageOnPort(parent);
        if (received === undefined) return;
        requests.push((received.message as AdoptPort).adopt);
      }
    },
    poll: (timeoutMs) => {
      host.wait(timeoutMs);
      wake.drain();
    },
  });
}
