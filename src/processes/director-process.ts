// SPDX-License-Identifier: Apache-2.0

import { planAddresses } from '../director/address-plan.ts';
import { Director } from '../director/director.ts';
import { HealthRunner } from '../health/runner.ts';
import { hashWords } from '../lib/hash.ts';
import { ipAddressBytes } from '../lib/ip-address.ts';
import type { Log } from '../lib/log.ts';
import type { Configuration } from '../model/configuration.ts';
import { RtnetlinkAddressKeeper } from '../platform/linux/address-keeper.ts';
import { interfaceFacts } from '../platform/linux/interface-facts.ts';
import { LeaseMemory } from '../platform/linux/lease-memory.ts';
import { takeRouteSnapshot, verifyInterface } from '../platform/linux/locate.ts';
import { MonotonicClock } from '../platform/linux/monotonic-clock.ts';
import { syncSource } from '../platform/linux/sync-socket.ts';
import { NodeTcpConnector } from '../platform/linux/tcp-connector.ts';
import { RawVrrpTransport } from '../platform/linux/vrrp-socket.ts';
import { Wake } from '../platform/linux/wake.ts';
import { startEngineWorker } from './engine-worker.ts';
import { SyncWorker } from './sync-worker.ts';
import { VrrpSupervisor } from './vrrp-supervisor.ts';

export interface DirectorProcess {
  readonly director: Director;
  /** Resolves with the reason when something died that the director cannot go on without. */
  readonly failed: Promise<Error>;
}

export interface DirectorProcessSettings {
  /** The executable: started again for the vrrp process and the threads. */
  readonly script: string;
  readonly version: string;
  readonly configurationFile: string;
  readonly configuration: Configuration;
  readonly log: Log;
}

/** Joins a director with the engine, the vrrp process, the sync thread and the checkers on this host. */
export async function composeDirector(settings: DirectorProcessSettings): Promise<DirectorProcess> {
  const { script, version, configurationFile, configuration, log } = settings;
  const clock = new MonotonicClock();
  const leases = LeaseMemory.create();
  const wake = Wake.create();
  // Every interface that is named, whether the engine needs it or not: a misspelt name is found here.
  for (const router of configuration.virtualRouters) {
    for (const name of [router.interface, ...router.addresses.map((each) => each.interface)]) interfaceFacts(name);
  }
  const { interfaces, families } = planAddresses(configuration, undefined, takeRouteSnapshot());
  for (const name of interfaces) verifyInterface(name, families);
  // All that may throw comes before the engine thread, which would keep the process.
  const senderId = chooseSenderId(configuration);
  const worker = await startEngineWorker(script, { interfaces, leaseFd: leases.fd, wakeFd: wake.fd }, wake, log);
  const director = new Director({
    engine: worker.engine,
    election: new VrrpSupervisor({
      script,
      arguments: ['vrrp-process'],
      leaseFd: leases.fd,
      leaseWriter: leases,
      addressKeeper: new RtnetlinkAddressKeeper(),
      openTransport: () => new RawVrrpTransport(),
      log,
    }),
    replication: new SyncWorker({
      script,
      senderId,
      nextEpoch: () => Math.floor((performance.timeOrigin + performance.now()) * 1000),
      wakeFd: wake.fd,
      openEngineLine: worker.openLine,
      verifyInterface: (sync) => {
        syncSource(sync, interfaceFacts(sync.interface));
      },
      log,
    }),
    health: new HealthRunner({ clock, connector: new NodeTcpConnector(), jitter: Math.random }),
    takeRouteSnapshot,
    verifyInterface: (name, families) => {
      verifyInterface(name, families);
      if (interfaces.includes(name)) return;
      throw new Error(
        `the portable engine opens its interfaces when it starts, and ${name} was not one; restart baton`,
      );
    },
    clock,
    log,
    version,
    processId: process.pid,
    configurationFile,
  });
  return { director, failed: worker.ended };
}

/** The address that this director sends from is its own on the segment, and the same after a restart. */
function chooseSenderId({ sync, routerId }: Configuration): number {
  if (sync === undefined) return Math.max(1, hashWords(new TextEncoder().encode(routerId)));
  return Math.max(1, hashWords(ipAddressBytes(syncSource(sync, interfaceFacts(sync.interface)))));
}
