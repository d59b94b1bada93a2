// SPDX-License-Identifier: Apache-2.0
import { openBalancers, programOf, type RateContestant, type RateOptions } from './rates.ts';
import { cases } from './services.ts';
import type { Stage } from './stage.ts';

/** For a profiler: keeps one contestant busy for some seconds, as in `--only hold baton directRouteOne 20`. */
export async function hold(stage: Stage, options: RateOptions): Promise<void> {
  await openBalancers(stage, options);
  const [contestant = 'baton', name = 'directRouteOne', seconds = '10'] = options.held;
  const { port } = cases[name as keyof typeof cases];
  const flows = options.flows?.[0] ?? 10_000;
  const traffic = { family: options.family ?? 'ipv4', protocol: 'udp', port, flows, flags: 'ack' } as const;
  await stage.order({ do: 'attach', program: programOf[contestant as RateContestant] });
  await stage.send({ ...traffic, order: 'sequence', packetsPerFlow: 2, packets: 2 * flows });
  for (const end = performance.now() + Number(seconds) * 1000; performance.now() < end; ) {
    const { sent, elapsedMs } = await stage.send({
      ...traffic,
      order: 'random',
      packetsPerFlow: 1,
      packets: 2_000_000,
    });
    process.stdout.write(`${(sent / elapsedMs).toFixed(0)} k packets/s\n`);
  }
}
