// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { median, render } from '../report.ts';
import type { AttachedProgram } from './balancer.ts';
import { type Family, servers } from './ground.ts';
import { families, openBalancers, type RateOptions } from './rates.ts';
import { type Case, cases } from './services.ts';
import type { Stage, Traffic } from './stage.ts';

const packets = 300_000;
const newFlows = 60_000;
const flowCounts = [1, 10_000, 1_000_000];
const ownAddress: Readonly<Record<Family, string>> = { ipv4: '198.51.100.11', ipv6: '2001:db8:f::11' };
const switchFile = '/proc/sys/kernel/bpf_stats_enabled';

interface Cost {
  readonly name: string;
  readonly program: AttachedProgram;
  /** Before each measurement. */
  readonly prepare?: () => Promise<unknown>;
  readonly send: () => Promise<unknown>;
}

/** Measures the nanoseconds of a run of the program, as the kernel counts them. */
export async function measureCosts(stage: Stage, options: RateOptions): Promise<void> {
  await openBalancers(stage, options);
  writeFileSync(switchFile, '1');
  try {
    for (const family of families(options)) {
      const measured = await measureAll(stage, unchanging(stage, family), options.rounds);
      for (const flows of options.flows ?? flowCounts) {
        const costs = [
          established(stage, family, cases.directRouteOne, flows, 'direct-route'),
          established(stage, family, cases.masqueradeTwo, flows, 'masquerade in'),
          replies(stage, family, flows),
        ];
        // UDP may have one million entries: each of these in its turn.
        for (const cost of costs) measured.push(...(await measureAll(stage, [cost], options.rounds)));
      }
      measured.push(...(await measureAll(stage, beginnings(stage, family), options.rounds)));
      const empty = measured[0]!.ns;
      const rows = measured.map(({ name, ns }) => [name, ns.toFixed(0), (ns - empty).toFixed(0)]);
      process.stdout.write(`${render(`${family}, nanoseconds a packet`, ['', 'measured', 'of its own'], rows)}\n`);
    }
  } finally {
    writeFileSync(switchFile, '0');
  }
}

async function measureAll(
  stage: Stage,
  costs: readonly Cost[],
  rounds: number,
): Promise<{ name: string; ns: number }[]> {
  const results = costs.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, { program, prepare, send }] of costs.entries()) {
      await stage.order({ do: 'attach', program });
      if (prepare !== undefined) await prepare();
      const before = (await stage.order({ do: 'status' })).runs[program]!;
      await send();
      const after = (await stage.order({ do: 'status' })).runs[program]!;
      results[i]!.values.push((after.ns - before.ns) / (after.runs - before.runs));
    }
  }
  return results.map(({ name, values }) => ({ name, ns: median(values) }));
}

function unchanging(stage: Stage, family: Family): Cost[] {
  const udp = { family, protocol: 'udp', port: 9, flags: 'ack', packetsPerFlow: 1, packets, flows: 10_000 } as const;
  const send = (): Promise<unknown> => stage.send({ ...udp, order: 'random', to: ownAddress[family] });
  return [
    { name: 'empty program', program: 'pass', send },
    { name: 'bounce', program: 'bounce', send },
    { name: 'not ours', program: 'baton', send },
  ];
}

function established(stage: Stage, family: Family, one: Case, flows: number, name: string): Cost {
  const traffic = udpTo(family, one, flows);
  return {
    name: `${name}, ${flows} flows`,
    program: 'baton',
    prepare: once(async () => {
      await stage.order({ do: 'clear' });
      await stage.send({ ...traffic, order: 'sequence', packetsPerFlow: 2, packets: 2 * flows });
    }),
    send: () => stage.send({ ...traffic, order: 'random' }),
  };
}

function replies(stage: Stage, family: Family, flows: number): Cost {
  const traffic = udpTo(family, cases.masqueradeReply, flows);
  const server = servers.two[family][0]!;
  return {
    name: `masquerade out, ${flows} flows`,
    program: 'baton',
    prepare: once(async () => {
      await stage.order({ do: 'clear' });
      await stage.send({ ...traffic, order: 'sequence', packetsPerFlow: 2, packets: 2 * flows });
    }),
    send: () => stage.reply({ ...traffic, order: 'random' }, server),
  };
}

function beginnings(stage: Stage, family: Family): Cost[] {
  const shapes = { sequence: cases.directRouteOne, hash: cases.hash, least: cases.least } as const;
  const clear = (): Promise<unknown> => stage.order({ do: 'clear' });
  const costs: Cost[] = [];
  for (const [shape, one] of Object.entries(shapes)) {
    const traffic: Traffic = {
      family,
      protocol: 'tcp',
      port: one.port,
      flows: newFlows,
      flags: 'syn',
      order: 'sequence',
      packetsPerFlow: 1,
      packets: newFlows,
    };
    costs.push({ name: `new connection, ${shape}`, program: 'baton', prepare: clear, send: () => stage.send(traffic) });
    if (shape !== 'sequence') continue;
    const handshake: Traffic = { ...traffic, flags: 'handshake', packetsPerFlow: 2, packets: 2 * newFlows };
    costs.push({ name: 'SYN and ACK, mean', program: 'baton', prepare: clear, send: () => stage.send(handshake) });
    let firstFlow = 100_000;
    const flood = (): Promise<unknown> => {
      firstFlow += packets;
      return stage.send({ ...traffic, packets, firstFlow });
    };
    costs.push({ name: 'SYN flood: new connection that evicts one', program: 'baton', send: flood });
  }
  return costs;
}

function udpTo(family: Family, one: Case, flows: number) {
  return { family, protocol: 'udp', port: one.port, flows, flags: 'ack', packetsPerFlow: 1, packets } as const;
}

function once(task: () => Promise<unknown>): () => Promise<void> {
  let isDone = false;
  return async () => {
    if (isDone) return;
    isDone = true;
    await task();
  };
}
