// SPDX-License-Identifier: Apache-2.0
import { linkLocalAddress, virtualRouters } from '../lab/configuration.ts';
import { linkLocalOf, strangerStation, virtualAddresses } from '../lab/topology.ts';
import type { Sent } from '../measure/capture.ts';
import type { PaceReport } from '../measure/pace.ts';
import type { RivalOptions } from '../measure/rival.ts';
import { startRemote } from '../remote.ts';
import { round } from '../result.ts';
import type { Scenario, Stage } from '../stage.ts';

// A third host claims the virtual routers with a lower priority, thousands of times a second. It must change nothing.

const rate = 5_000;
const count = 25_000;
const rivalPriority = 1;

export const storm: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { pair, options, say, note, tell } = stage;
    const rival = startRemote(pair.lab, strangerStation, 'measure/rival');
    say(`${rate} advertisements a second of priority ${rivalPriority} from a third host`);
    note('the storm begins');
    const { sent, elapsedMs } = await rival.call<PaceReport>('run', rivalOptions(stage));
    note('the storm is over');
    await rival.stop();
    tell(`${sent} advertisements in ${(elapsedMs / 1_000).toFixed(1)} s`);
    stage.check(({ wire }) =>
      pair.families.flatMap((family) => {
        const latestMs = longestPauseMs(wire.a![family]);
        tell(`the longest time between two advertisements of director a: ${round(latestMs)} ms (${family})`);
        return [
          ...(latestMs < 2 * options.advertIntervalMs
            ? []
            : [
                `director a was silent for ${round(latestMs)} ms, an interval is ${options.advertIntervalMs} ms (${family})`,
              ]),
          ...(wire.b![family].signs.some(({ kind }) => kind === 'advertisement')
            ? [`director b took over (${family})`]
            : []),
        ];
      }),
    );
  },
};

/** The longest time between two advertisements in a row. Infinity when there are none. */
export function longestPauseMs({ signs }: Pick<Sent, 'signs'>): number {
  const times = signs.filter(({ kind }) => kind === 'advertisement').map(({ atMs }) => atMs);
  if (times.length < 2) return Number.POSITIVE_INFINITY;
  return Math.max(...times.slice(1).map((atMs, i) => atMs - times[i]!));
}

function rivalOptions({ pair, options }: Stage): RivalOptions {
  const link = pair.topology.stations.find(({ name }) => name === strangerStation)!.links[0]!;
  return {
    interface: link.interface,
    macAddress: link.macAddress,
    routers: pair.families.map((family) => ({
      vrid: virtualRouters[family].id,
      priority: rivalPriority,
      intervalMs: options.advertIntervalMs,
      source: family === 'ipv4' ? link.addresses.ipv4.split('/')[0]! : linkLocalOf(link.macAddress),
      addresses: family === 'ipv4' ? [virtualAddresses.ipv4] : [linkLocalAddress, virtualAddresses.ipv6],
    })),
    count,
    rate,
  };
}
