// SPDX-License-Identifier: Apache-2.0
import { median } from '../report.ts';
import { families, openBalancers, type RateOptions } from './rates.ts';
import { cases } from './services.ts';
import type { Stage, Traffic } from './stage.ts';

const connections = 200_000;
const offers = [
  { name: 'SYN', protocol: 'tcp', flags: 'syn', packetsPerFlow: 1 },
  { name: 'SYN, then ACK', protocol: 'tcp', flags: 'handshake', packetsPerFlow: 2 },
  { name: 'UDP, two packets', protocol: 'udp', flags: 'ack', packetsPerFlow: 2 },
] as const;

/** New connections a second: every flow is one that there has never been, for both in turn. */
export async function measureOpenings(stage: Stage, options: RateOptions): Promise<void> {
  await openBalancers(stage, options);
  let firstFlow = 0;
  for (const family of families(options)) {
    for (const [name, one] of Object.entries({
      'direct-route': cases.directRouteOne,
      masquerade: cases.masqueradeTwo,
    })) {
      for (const { name: offer, ...shape } of offers) {
        const rates = { baton: [] as number[], nftables: [] as number[] };
        const lost = { baton: 0, nftables: 0 };
        for (let round = 0; round < options.rounds; round += 1) {
          await stage.order({ do: 'clear' });
          for (const contestant of ['baton', 'nftables'] as const) {
            await stage.order({ do: 'attach', program: contestant === 'baton' ? 'baton' : 'none' });
            const traffic: Traffic = {
              ...shape,
              family,
              port: one.port,
              flows: connections,
              order: 'sequence',
              firstFlow,
              packets: connections * shape.packetsPerFlow,
            };
            firstFlow += connections;
            const { sent, arrived, elapsedMs } = await stage.send(traffic);
            rates[contestant].push((connections / elapsedMs) * 1000);
            lost[contestant] += sent - arrived;
          }
        }
        report(`${family} ${name}, ${offer}`, rates, lost);
      }
    }
    const { established, halfOpen, evictions, eventOverruns, drops } = await stage.order({ do: 'status' });
    process.stderr.write(`${JSON.stringify({ established, halfOpen, evictions, eventOverruns, drops })}\n`);
  }
}

function report(
  name: string,
  rates: { readonly baton: readonly number[]; readonly nftables: readonly number[] },
  lost: { readonly baton: number; readonly nftables: number },
): void {
  const ratio = median(rates.baton.map((rate, i) => rate / rates.nftables[i]!));
  const k = (values: readonly number[]): string => (median(values) / 1000).toFixed(0);
  process.stdout.write(
    `${name}: baton ${k(rates.baton)} nftables ${k(rates.nftables)} k connections/s; × ${ratio.toFixed(2)}; not arrived ${lost.baton} ${lost.nftables}\n`,
  );
}
