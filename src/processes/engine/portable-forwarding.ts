// SPDX-License-Identifier: Apache-2.0
import type { Log } from '../../lib/log.ts';
import { refuseKernelForwarding } from '../../platform/linux/netlink/locate.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import { Wake } from '../../platform/linux/process/wake.ts';
import type { Forwarding } from './forwarding.ts';
import { startEngineWorker } from './portable-worker.ts';

/** Starts the portable engine in a thread of its own. Rejects with a sentence when something is missing. */
export async function startPortableForwarding(
  script: string,
  interfaces: readonly string[],
  log: Log,
): Promise<Forwarding> {
  const leases = LeaseMemory.create();
  const wake = Wake.create();
  const worker = await startEngineWorker(script, { interfaces, leaseFd: leases.fd, wakeFd: wake.fd }, wake, log);
  return {
    engine: worker.engine,
    leases,
    openLine: () => ({ kind: 'portable', port: worker.openLine(), wakeFd: wake.fd, leaseFd: leases.fd }),
    verifyInterface: (name, families) => {
      refuseKernelForwarding(name, families);
      if (interfaces.includes(name)) return;
      throw new Error(
        `the portable engine opens its interfaces when it starts, and ${name} was not one; restart baton`,
      );
    },
    onForSuccessorChanged: () => undefined,
    ended: worker.ended,
  };
}
