// SPDX-License-Identifier: Apache-2.0
import { inspect } from 'node:util';
import { describeRecord } from '../../src/model/connection-batch.ts';
import { endpointName, virtualServiceName } from '../../src/model/virtual-service.ts';
import { describePacket } from '../contract/packets.ts';
import { type ConfigurationPlan, configurationOf, virtualAddresses } from './configurations.ts';
import type { Difference, Outcome } from './duel.ts';
import { type FramePlan, frameOf } from './frames.ts';
import { limitsOf, recordsOf, type Step, type Story } from './steps.ts';

/** A story as a list of sentences. */
export function storyInWords({ limits, configuration, steps }: Story): string {
  const { halfOpenMax, establishedMax } = limitsOf[limits]!;
  const lines = [`room for ${halfOpenMax} half-open and ${establishedMax} established connections`];
  lines.push(...configurationInWords(configuration).map((line) => `  ${line}`));
  let plan = configuration;
  for (const [index, step] of steps.entries()) {
    if (step.do === 'configure') plan = step.plan;
    lines.push(`${index}. ${stepInWords(step, plan)}`);
  }
  return lines.join('\n');
}

/** Both outcomes of the step that differs, as far as they differ. */
export function differenceInWords({ step, portable, xdp, remark }: Difference): string {
  const lines = [step < 0 ? 'the engines differ at the beginning:' : `the engines differ at step ${step}:`];
  if (remark !== undefined) lines.push(`  ${remark}`);
  const found = differing(readable(portable), readable(xdp), '');
  for (const [what, one, other] of found.length > 0 ? found : differing(portable, xdp, '')) {
    lines.push(`  ${what}`, `    portable: ${inspectOne(one)}`, `    xdp:      ${inspectOne(other)}`);
  }
  return lines.join('\n');
}

function stepInWords(step: Step, plan: ConfigurationPlan): string {
  switch (step.do) {
    case 'frame':
      return `${step.plan.side}: ${frameInWords(step.plan, plan)}`;
    case 'configure':
      return `configure\n${configurationInWords(step.plan)
        .map((line) => `     ${line}`)
        .join('\n')}`;
    case 'seconds':
      return `${step.count} s go by`;
    case 'milliseconds':
      return `${step.count} ms go by without a sweep`;
    case 'lease':
      return step.forMs === 0 ? `lease ${step.slot} is revoked` : `lease ${step.slot} is valid for ${step.forMs} ms`;
    case 'import': {
      const records = recordsOf(step.records, plan);
      return `import\n${step.records
        .map(({ bends }, i) => `     ${recordInWords(records, i)}${bends.length === 0 ? '' : ` ${inspectOne(bends)}`}`)
        .join('\n')}`;
    }
    case 'reachable':
      return `real server ${step.host + 1} of ${step.address < 2 ? 'IPv4' : 'IPv6'} is ${step.is ? '' : 'not '}reachable`;
    case 'publisher':
      return `publisher: ${step.is}`;
    case 'peer':
      return step.heard ? 'a peer is heard' : 'no peer is heard';
    case 'mtu':
      return `the MTU towards ${step.side} is ${step.mtu}`;
  }
}

function frameInWords(plan: FramePlan, configuration: ConfigurationPlan): string {
  const frame = frameOf(plan, configuration);
  const { shape } = plan;
  const odd = Object.entries(shape).filter(
    ([name, value]) =>
      !(['bends', 'extras'].includes(name) ? (value as []).length === 0 : [0, false, undefined].includes(value as 0)),
  );
  const shaped = odd.map(([name, value]) => `${name} ${inspectOne(value)}`).join(', ');
  let packet: string;
  try {
    packet = describePacket(frame.subarray(14));
  } catch {
    packet = JSON.stringify(plan.flow);
  }
  return `${packet} (${inspectOne(plan.body)}; ${shaped})\n     ${Buffer.from(frame).toString('hex')}`;
}

function configurationInWords(plan: ConfigurationPlan): string[] {
  const { services, timeouts, gracePeriodMs, sloppyTcp = true } = configurationOf(plan);
  const leases = virtualAddresses.map(
    (address, i) => `${address} ${plan.leases[i] ?? 'unlisted'}${plan.answers[i] ? '' : ' silent'}`,
  );
  return [
    `leases: ${leases.join(', ')}; grace ${gracePeriodMs} ms; timeouts ${inspectOne(timeouts)}${sloppyTcp ? '' : '; not sloppy'}`,
    ...services.map(({ service, selector, alive }) => {
      const servers = service.realServers.map(
        (server) =>
          `${endpointName(server)} ${server.forwardingMethod} weight ${server.weight}` +
          (server.upperThreshold ? ` thresholds ${server.upperThreshold} ${server.lowerThreshold}` : ''),
      );
      const rest = [
        inspectOne(selector),
        service.scheduler.fallback ? 'fallback' : '',
        service.onePacket ? 'ops' : '',
        service.persistence === undefined ? '' : inspectOne(service.persistence),
        alive === undefined ? '' : `alive ${inspectOne(alive)}`,
      ].filter((word) => word !== '');
      return `${virtualServiceName(service)} > ${servers.join(', ') || 'nobody'}; ${rest.join('; ')}`;
    }),
  ];
}

function readable(outcome: Outcome): object {
  return { ...outcome, events: outcome.events.map(lineInWords), table: outcome.table.map(lineInWords) };
}

function lineInWords(line: string): string {
  return recordInWords(Int32Array.from(line.split(' '), Number), 0);
}

function recordInWords(records: Int32Array, index: number): string {
  const words = records.subarray(index * 17, (index + 1) * 17);
  try {
    const entry = describeRecord(words, 0);
    const ends = `${entry.protocol} ${entry.clientAddress} ${entry.clientPort} > ${entry.virtualAddress} ${entry.virtualPort}`;
    const head = words[0]!.toString(16);
    return `${ends} > ${entry.realAddress} ${entry.realPort} ${entry.state} head ${head} idle ${words[3]} timeout ${words[4]}`;
  } catch {
    return words.join(' ');
  }
}

function differing(one: unknown, other: unknown, path: string): [string, unknown, unknown][] {
  if (inspectOne(one) === inspectOne(other)) return [];
  const isList = Array.isArray(one) && path !== '' && !path.includes('services');
  if (isList || typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return [[path, one, other]];
  }
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].flatMap((name) => {
    const from = (value: object): unknown => (value as Record<string, unknown>)[name];
    return differing(from(one), from(other), path === '' ? name : `${path}.${name}`);
  });
}

function inspectOne(value: unknown): string {
  return inspect(value, {
    depth: 9,
    breakLength: Number.POSITIVE_INFINITY,
    maxStringLength: null,
    maxArrayLength: null,
  });
}
