// SPDX-License-Identifier: Apache-2.0
import { timeoutsByClass } from '../../connection/second-class.ts';
import { nextTcpState, TcpDirection } from '../../connection/tcp-transitions.ts';
import { deadServerPolicies, defaultDeadServerPolicy } from '../../model/dead-servers.ts';
import { type TcpState, tcpStateNames } from '../../model/tcp-state.ts';
import type { ProtocolTimeouts } from '../../model/timeouts.ts';
import type { EngineConfiguration } from '../engine.ts';
import { SettingsLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';

/** The low five bits of byte 13 of the TCP header. */
const flagSets = 32;

/** Writes `struct settings`, except for timeouts of TCP connections, and the fields that tests and readers of events write. */
export function writeSettings(settings: MappedArray, configuration: EngineConfiguration): void {
  const { timeouts, gracePeriodMs, deadServerPolicy = defaultDeadServerPolicy, sloppyTcp = true } = configuration;
  settings.writeWord(0, SettingsLayout.udpTimeout, timeouts.udpMs);
  settings.writeWord(0, SettingsLayout.gracePeriod, gracePeriodMs);
  settings.writeWord(0, SettingsLayout.sloppyTcp, sloppyTcp ? 1 : 0);
  settings.writeWord(0, SettingsLayout.deadServers, deadServerPolicies.indexOf(deadServerPolicy));
  for (const direction of Object.values(TcpDirection)) {
    for (let flags = 0; flags < flagSets; flags += 1) {
      for (let state = 0; state < tcpStateNames.length; state += 1) {
        const at = SettingsLayout.nextStates + ((direction << 9) | (flags << 4) | state);
        settings.writeByte(0, at, nextTcpState(direction, state as TcpState, flags));
      }
    }
  }
}

export function writeTcpTimeouts(settings: MappedArray, timeouts: ProtocolTimeouts, isCrowded: boolean): void {
  for (const [index, timeoutMs] of timeoutsByClass(timeouts, isCrowded).entries()) {
    settings.writeWord(0, SettingsLayout.tcpTimeouts + 4 * index, timeoutMs);
  }
}
