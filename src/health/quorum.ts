// SPDX-License-Identifier: Apache-2.0
import type { ConfiguredService } from '../model/configuration.ts';

/**
 * True when a service has its quorum. `had` says whether it had it before (undefined: it has just been configured);
 * `liveWeight` is the sum of its live real servers' weights. keepalived's rules (check/ipwrapper.c, set_quorum_states
 * and update_quorum_state): lost below `quorum - hysteresis`, gained at `quorum + hysteresis`.
 */
export function judgeQuorum(
  had: boolean | undefined,
  { quorum = 1, hysteresis = 0 }: Pick<ConfiguredService, 'quorum' | 'hysteresis'>,
  liveWeight: number,
): boolean {
  if (had === true) return liveWeight > 0 && liveWeight >= quorum - hysteresis;
  return liveWeight >= quorum + hysteresis;
}
