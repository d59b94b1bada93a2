// SPDX-License-Identifier: Apache-2.0
import { activeDownIntervalMs } from '../../../vrrp/timers.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { ActiveHeard } from '../controls.ts';
import type { RunningRouter } from './running-router.ts';

/** The directors that are heard as active; undefined when there are none. */
export function activeHeard(routers: Iterable<Pick<RunningRouter, 'state'>>): ActiveHeard | undefined {
  const sources = new Set<IpAddress>();
  let downIntervalMs = 0;
  for (const { state } of routers) {
    if (state.kind !== 'backup' || state.heard === undefined || state.heard.resigned) continue;
    sources.add(state.heard.source);
    const { effectivePriority, activeAdverIntervalMs } = state;
    downIntervalMs = Math.max(downIntervalMs, activeDownIntervalMs(effectivePriority, activeAdverIntervalMs));
  }
  return sources.size === 0 ? undefined : { sources: [...sources].sort(), downIntervalMs };
}
