// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { flowPort, virtualAddresses } from '../lab/topology.ts';
import type { EchoProbeOptions } from '../measure/echo-probe.ts';
import type { EchoReport } from '../measure/echoes.ts';
import { type Remote, startRemote } from '../remote.ts';
import type { Stage } from '../stage.ts';

export interface EchoProbe {
  readonly family: Family;
  readonly remote: Remote;
}

/** Without the UDP service nobody answers a probe: then the result rests on the capture alone. */
export async function startEchoProbes({ pair, options }: Stage): Promise<EchoProbe[]> {
  if (options.flows === 0) return [];
  return Promise.all(
    pair.families.map(async (family) => {
      const remote = startRemote(pair.lab, 'probe', 'measure/echo-probe');
      const target: EchoProbeOptions = { destination: virtualAddresses[family], port: flowPort };
      await remote.call('start', target);
      return { family, remote };
    }),
  );
}

export function reportEchoes(probes: readonly EchoProbe[]): Promise<EchoReport[]> {
  return Promise.all(probes.map(({ remote }) => remote.call<EchoReport>('report')));
}
