// SPDX-License-Identifier: Apache-2.0
import { median, render, thousands } from '../report.ts';
import type { AttachedProgram } from './balancer.ts';
import type { Family } from './ground.ts';
import { batonConfiguration, type Case, cases, openNftables } from './services.ts';
import type { Stage, Traffic } from './stage.ts';

export interface RateOptions {
  readonly rounds: number;
  /** Instead of the usual ones. */
  readonly flows: readonly number[] | undefined;
  /** Instead of the program that comes with baton. */
  readonly objectPath: string | undefined;
  readonly family: Family | undefined;
  /** Instead of the usual grain of the time when a connection was last seen. */
  readonly seenGrainMs: number | undefined;
  /** The arguments of `hold`. */
  readonly held: readonly string[];
}

const contestants = ['baton', 'nftables', 'bounce', 'redirect'] as const;
export type RateContestant = (typeof contestants)[number];
export const programOf: Readonly<Record<RateContestant, AttachedProgram>> = {
  baton: 'baton',
  nftables: 'none',
  bounce: 'bounce',
  redirect: 'redirect',
};

const flowCounts = [1, 256, 10_000, 1_000_000];
/** Of TCP acknowledgements; nftables picks their connections up in the middle. */
const tcpFlows = 10_000;
/** About a quarter to half a second each. */
const packets = { baton: 1_000_000, nftables: 300_000, bounce: 1_000_000, redirect: 1_000_000 };
const warmUp = 20_000;
/** A veth's receive ring may overflow when its processor was kept from it; so much loss is not a lossless rate. */
const lossMax = 0.001;
/** UDP may fill half of the table: this has room for a million flows of it. */
const limits = { halfOpenMax: 65_536, establishedMax: 2_097_152 };

interface Trial {
  readonly perSecond: number;
  readonly loss: number;
}

/** Packets a second of established flows. */
export async function measureRates(stage: Stage, options: RateOptions): Promise<void> {
  await openBalancers(stage, options);
  for (const family of families(options)) {
    const rows: string[][] = [];
    for (const one of [cases.directRouteOne, cases.masqueradeOne, cases.directRouteTwo, cases.masqueradeTwo]) {
      for (const flows of options.flows ?? flowCounts) {
        rows.push(await measureCase(stage, { one, family, protocol: 'udp', flows }, options.rounds));
        if (flows === tcpFlows)
          rows.push(await measureCase(stage, { one, family, protocol: 'tcp', flows }, options.rounds));
        process.stderr.write(`${family} ${rows.at(-1)!.join('  ')}\n`);
      }
    }
    const head = [
      '',
      'flows',
      'baton',
      'nftables',
      'bounce',
      'redirect',
      '× nftables',
      '× bounce',
      '× redirect',
      'loss',
    ];
    process.stdout.write(`${render(`${family}, thousand packets a second of established flows`, head, rows)}\n`);
  }
}

/** The engine with every case, and nftables with the same: whichever XDP program is on the interfaces decides. */
export async function openBalancers(stage: Stage, { objectPath, seenGrainMs }: RateOptions): Promise<void> {
  await stage.order({
    do: 'load',
    limits,
    ...(objectPath === undefined ? {} : { objectPath }),
    ...(seenGrainMs === undefined ? {} : { seenGrainMs }),
  });
  await stage.order({ do: 'configure', configuration: batonConfiguration() });
  await openNftables();
}

export function families({ family }: RateOptions): readonly Family[] {
  return family === undefined ? ['ipv4', 'ipv6'] : [family];
}

interface Setting {
  readonly one: Case;
  readonly family: Family;
  readonly protocol: 'udp' | 'tcp';
  readonly flows: number;
}

async function measureCase(stage: Stage, setting: Setting, rounds: number): Promise<string[]> {
  await stage.order({ do: 'clear' });
  await establish(stage, setting);
  const trials = new Map<RateContestant, Trial[]>(contestants.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contestant of contestants) trials.get(contestant)!.push(await tryOut(stage, setting, contestant));
  }
  const rates = (name: RateContestant): number[] => trials.get(name)!.map(({ perSecond }) => perSecond);
  const ratio = (other: RateContestant): string =>
    median(rates('baton').map((rate, i) => rate / rates(other)[i]!)).toFixed(2);
  const losses = contestants.filter((name) => median(trials.get(name)!.map(({ loss }) => loss)) > lossMax);
  const { one, protocol, flows } = setting;
  return [
    `${one.method}, ${one.arms} ${one.arms === 'one' ? 'arm' : 'arms'}, ${protocol === 'udp' ? 'UDP' : 'TCP ACK'}`,
    String(flows),
    ...contestants.map((name) => thousands(median(rates(name)))),
    ratio('nftables'),
    ratio('bounce'),
    ratio('redirect'),
    losses.length === 0 ? 'none' : losses.join(' '),
  ];
}

/** Both balancers get to know the flows: each of them in turn, two packets. */
async function establish(stage: Stage, { one, family, protocol, flows }: Setting): Promise<void> {
  for (const contestant of ['baton', 'nftables'] as const) {
    await stage.order({ do: 'attach', program: programOf[contestant] });
    const traffic: Traffic = {
      family,
      protocol,
      port: one.port,
      flows,
      order: 'sequence',
      packetsPerFlow: 2,
      packets: 2 * flows,
      flags: contestant === 'baton' ? 'handshake' : 'ack',
    };
    await stage.send(traffic);
    if (contestant === 'nftables') continue;
    // Opens the flows that a full receive ring has lost in the first pass.
    const { established } = await stage.order({ do: 'status' });
    if (established < flows) await stage.send(traffic);
  }
}

async function tryOut(stage: Stage, { one, family, protocol, flows }: Setting, name: RateContestant): Promise<Trial> {
  await stage.order({ do: 'attach', program: programOf[name] });
  const drawn = { flags: 'ack', order: 'random', packetsPerFlow: 1 } as const;
  const traffic = { ...drawn, family, protocol, port: one.port, flows };
  await stage.send({ ...traffic, packets: warmUp });
  const { sent, arrived, seen, elapsedMs } = await stage.send({ ...traffic, packets: packets[name] });
  // The programs that mark the limits know no servers.
  const delivered = name === 'baton' || name === 'nftables' ? arrived : seen;
  return { perSecond: (delivered / elapsedMs) * 1000, loss: 1 - delivered / sent };
}
