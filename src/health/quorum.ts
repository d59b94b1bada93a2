// SPDX-License-Identifier: Apache-2.0
import type { ConfiguredService } from '../model/configuration.ts';

/**
 * Whether a service has its quorum, from whether it had it before (undefined: just begun) and the weights of its live
 * real servers together. keepalived's rules (check/ipwrapper.c, set_quorum_states and update_quorum_state): lost below
 * `quorum - hysteresis`, gained at `quorum + hysteresis`.
 */
export function judgeQuorum(
  had: boolean | undefined,
  { quorum = 1, hysteresis = 0 }: Pick<ConfiguredService, 'quorum' | 'hysteresis'>,
  liveWeight: number,
): boolean {
  if (had === true) return liveWeight > 0 && liveWeight >= quorum - hysteresis;
  return liveWeight >= quorum + hysteresis;
}
