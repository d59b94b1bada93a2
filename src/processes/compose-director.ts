// SPDX-License-Identifier: Apache-2.0

import { planAddresses } from '../director/address-plan.ts';
import { Director } from '../director/director.ts';
import type { SignWriter } from '../director/ports.ts';
import { syncSettingsOf } from '../director/sync-settings.ts';
import type { EngineRequest } from '../engine/engine.ts';
import { HealthRunner } from '../health/runner.ts';
import type { Clock } from '../lib/clock.ts';
import { hashWords } from '../lib/hash.ts';
import { ipAddressBytes } from '../lib/ip-address.ts';
import type { Log } from '../lib/log.ts';
import type { Configuration } from '../model/configuration.ts';
import { Sign } from '../model/lease.ts';
import { NodeTcpConnector } from '../platform/linux/check/tcp-connector.ts';
import { syncSource } from '../platform/linux/datagram/sync-source.ts';
import { MonotonicClock } from '../platform/linux/monotonic-clock.ts';
import { RtnetlinkAddressKeeper } from '../platform/linux/netlink/address-keeper.ts';
import { interfaceFacts } from '../platform/linux/netlink/interface-facts.ts';
import { refuseKernelForwarding, takeRouteSnapshot } from '../platform/linux/netlink/locate.ts';
import { RawVrrpTransport } from '../platform/linux/vrrp/vrrp-socket.ts';
import { assignmentsOf, type Predecessor } from '../succession/predecessor.ts';
import { closeAll } from '../succession/successor-descriptors.ts';
import { chooseEngine } from './engine/choice.ts';
import { startPortableForwarding } from './engine/portable-forwarding.ts';
import { startXdpForwarding } from './engine/xdp-forwarding.ts';
import { SyncWorker } from './sync/worker.ts';
import { VrrpSupervisor } from './vrrp/supervisor.ts';
import { signMs, signPeriodMs } from './vrrp/watch.ts';

export interface DirectorProcess {
  readonly director: Director;
  /** Resolves with the reason when a part has died that the director needs. */
  readonly failed: Promise<Error>;
}

export interface DirectorProcessSettings {
  /** The executable: started again for the vrrp process and the threads. */
  readonly script: string;
  readonly version: string;
  readonly configurationFile: string;
  readonly configuration: Configuration;
  readonly engine: EngineRequest;
  readonly runDirectory: string;
  /** A vrrp process that has outlived the former director. */
  readonly predecessor: Predecessor | undefined;
  readonly log: Log;
}

/** Joins a director with the engine, the vrrp process, the sync thread and the checkers on this host. */
export async function composeDirector(settings: DirectorProcessSettings): Promise<DirectorProcess> {
  const { script, version, configurationFile, configuration, runDirectory, log } = settings;
  const clock = new MonotonicClock();
  // Looks up every interface of the configuration, so that a misspelt name is reported even if the engine does not
  // need it.
  for (const router of configuration.virtualRouters) {
    for (const name of [router.interface, ...router.addresses.map((each) => each.interface)]) interfaceFacts(name);
  }
  let { predecessor } = settings;
  const planned = predecessor === undefined ? undefined : { routers: assignmentsOf(predecessor) };
  const { interfaces, families } = planAddresses(configuration, planned, takeRouteSnapshot());
  const choice = chooseEngine(settings.engine, interfaces);
  if (choice.kind === 'portable' && predecessor !== undefined) {
    // The predecessor holds the XDP program, which would forward besides the portable engine.
    closeAll(predecessor.descriptors.map(({ fd }) => fd));
    await predecessor.dismiss();
    predecessor = undefined;
  }
  const predecessorPlan = predecessor === undefined ? undefined : planned;
  if (choice.reason !== undefined) log(settings.engine === 'xdp' ? 'warn' : 'info', choice.reason);
  if (choice.kind === 'portable') for (const name of interfaces) refuseKernelForwarding(name, families);
  // Everything that may throw comes before the engine, whose thread would keep the process from ending.
  const senderId = chooseSenderId(configuration);
  const forwarding =
    choice.kind === 'xdp'
      ? startXdpForwarding(interfaces, predecessor, log)
      : await startPortableForwarding(script, interfaces, log);
  const { leases, forSuccessor } = forwarding;
  const election = new VrrpSupervisor({
    script,
    arguments: ['vrrp-process'],
    leaseFd: leases.fd,
    leaseWriter: leases,
    addressKeeper: new RtnetlinkAddressKeeper(),
    openTransport: () => new RawVrrpTransport(),
    ...(forSuccessor === undefined ? {} : { forSuccessor: { ...forSuccessor, runDirectory } }),
    ...(predecessor === undefined ? {} : { predecessor }),
    log,
  });
  forwarding.onForSuccessorChanged = (changed) => {
    election
      .changeForSuccessor(changed)
      .catch(({ message }: Error) => log('error', `a successor could not go on from here: ${message}`));
  };
  const director = new Director({
    engine: forwarding.engine,
    election,
    replication: new SyncWorker({
      script,
      senderId,
      nextEpoch: () => Math.floor((performance.timeOrigin + performance.now()) * 1000),
      openEngineLine: forwarding.openLine,
      memory: leases,
      verifyInterface: (sync) => {
        syncSource(sync, interfaceFacts(sync.interface));
      },
      log,
    }),
    health: startHealth(leases, clock),
    takeRouteSnapshot,
    verifyInterface: forwarding.verifyInterface,
    ...(predecessorPlan === undefined ? {} : { predecessorPlan }),
    clock,
    log,
    version,
    processId: process.pid,
    configurationFile,
  });
  return { director, failed: forwarding.ended };
}

/** The checks, and with them the sign of life of the event loop that they run on, which the vrrp process watches. */
function startHealth(memory: SignWriter, clock: Clock): HealthRunner {
  const health = new HealthRunner({ clock, connector: new NodeTcpConnector(), jitter: Math.random });
  const sign = (): void => {
    const nowMs = clock.nowMs();
    if (!health.haveStopped(nowMs)) memory.sign(Sign.director, nowMs + signMs);
  };
  setInterval(sign, signPeriodMs).unref();
  sign();
  return health;
}

/** The id comes from the address that this director sends from: unique on the segment, and unchanged by a restart. */
function chooseSenderId(configuration: Configuration): number {
  const { routerId } = configuration;
  const sync = syncSettingsOf(configuration);
  if (sync === undefined) return Math.max(1, hashWords(new TextEncoder().encode(routerId)));
  return Math.max(1, hashWords(ipAddressBytes(syncSource(sync, interfaceFacts(sync.interface)))));
}
