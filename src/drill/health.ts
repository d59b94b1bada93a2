// SPDX-License-Identifier: Apache-2.0
import type { DirectorStatus } from '../director/status.ts';
import type { Director } from './director.ts';

/** The director that has just started must elect itself, copy the table, and hear its real servers' checks. */
export const readyTimeoutMs = 30_000;

export function isActive({ virtualRouters }: DirectorStatus): boolean {
  return virtualRouters.length > 0 && virtualRouters.every(({ state }) => state === 'active');
}

export function isBackupInSync(status: DirectorStatus): boolean {
  const isBackup = status.virtualRouters.every(({ state }) => state === 'backup');
  return status.virtualRouters.length > 0 && isBackup && ['inSync', 'off'].includes(status.sync.state);
}

export function hasAllRealServers({ services }: DirectorStatus): boolean {
  return services.length > 0 && services.every(({ realServers }) => realServers.every(({ alive }) => alive));
}

/** Brings a pair of which at least one may be down to: a active, b its backup in sync. */
export async function makeHealthy({ a, b }: Readonly<Record<'a' | 'b', Director>>): Promise<void> {
  for (const director of [a, b]) if (!director.isRunning) director.start();
  const status = await a.await('ready', () => true, readyTimeoutMs);
  if (a.standsBack && !isActive(status)) {
    await a.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    await b.failover();
  }
  await a.await('active', isActive, readyTimeoutMs);
  await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
  await a.await('sure of its real servers', hasAllRealServers, readyTimeoutMs);
}
