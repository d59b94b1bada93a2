// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { openerStation, openingPort, routerOnClients, servicePort, virtualAddresses } from '../lab/topology.ts';
import type { PaceReport } from '../measure/pace.ts';
import type { SegmentRoute } from '../measure/segment-frame.ts';
import type { SweepOptions } from '../measure/sweep.ts';
import { startRemote } from '../remote.ts';
import type { Scenario, Stage } from '../stage.ts';
import type { IdleReport } from '../traffic/openings.ts';

// Somebody who knows the clients' addresses and nothing else sends resets, ends and beginnings from each of their ports.

const idleSessions = 100;
const rateOf = { xdp: 60_000, portable: 20_000 } as const;

export const resetAttack: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { pair, options, say, note } = stage;
    await pair.opener?.call('hold', idleSessions);
    const attacker = startRemote(pair.lab, 'probe', 'measure/sweep');
    say('RST, FIN and SYN from every port of the clients');
    note('the attack begins');
    const { sent, elapsedMs } = await attacker.call<PaceReport>('run', sweepOptions(stage, rateOf[options.engine]));
    note('the attack is over');
    await attacker.stop();
    stage.tell(`${sent} segments in ${(elapsedMs / 1_000).toFixed(1)} s`);
    const idle = await pair.opener?.call<IdleReport>('release');
    if (idle === undefined) return;
    stage.tell(`of ${idle.held} sessions that were idle meanwhile ${idle.broken} broke`);
    if (idle.broken > 0) stage.fail(`${idle.broken} of ${idle.held} idle sessions broke`);
  },
};

function sweepOptions({ pair }: Stage, rate: number): SweepOptions {
  const linkOf = (name: string) => pair.topology.stations.find((station) => station.name === name)!.links[0]!;
  const attacker = linkOf('probe');
  const route = (client: string, port: number, family: Family): SegmentRoute => ({
    source: linkOf(client).addresses[family].split('/')[0]!,
    destination: virtualAddresses[family],
    port,
    sourceMac: attacker.macAddress,
    gatewayMac: routerOnClients.macAddress,
  });
  return {
    interface: attacker.interface,
    routes: pair.families.flatMap((family) => [
      route('client', servicePort, family),
      route(openerStation, openingPort, family),
    ]),
    kinds: ['rst', 'fin', 'syn'],
    rate,
  };
}
