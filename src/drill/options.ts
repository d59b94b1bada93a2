// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';
import { type EngineRequest, engineRequests } from '../engine/engine.ts';
import { errorSentence } from '../lib/error-sentence.ts';
import type { LabFamily, LabForwarding } from './lab/topology.ts';
import { defaultScenarios, type ScenarioName, scenarioNames, scenarioTexts } from './scenario-names.ts';

export interface DrillOptions {
  readonly scenarios: readonly ScenarioName[];
  readonly forwardings: readonly LabForwarding[];
  readonly family: LabFamily;
  readonly sessions: number;
  /** UDP flows through a virtual service of their own. */
  readonly flows: number;
  /** Short sessions that are opened each second while a scenario runs. */
  readonly openingRate: number;
  /** The number of times that the list of scenarios is run. */
  readonly runs: number;
  /** For so many minutes the list is run in turn, a scenario each 20 s; 0: `runs` counts. */
  readonly soakMinutes: number;
  /** Virtual addresses of each virtual router. */
  readonly addresses: number;
  /** A multiple of 10. */
  readonly advertIntervalMs: number;
  readonly engine: EngineRequest;
  /** Absent: on, but for the xdp engine off. */
  readonly offloads?: boolean;
  /** True when the directors replicate their connection tables. */
  readonly sync: boolean;
  /** True when the SYNs of new connections wait for the peer's acknowledgement. */
  readonly defer: boolean;
  readonly json: boolean;
}

export type ParsedCommand =
  | { readonly kind: 'run'; readonly options: DrillOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly sentence: string };

export const helpText = `Usage: baton drill [options]

Builds a lab of network namespaces on this machine (two directors, real servers, a router, clients), sends real traffic
through it, breaks the pair on purpose, and reports what the sessions noticed. Nothing outside the lab is touched, and
nothing of it is left behind. Without root it runs in a user namespace.

  --scenario LIST     scenarios from the list below, separated by commas, or all (default ${defaultScenarios.join(',')})
  --forwarding NAME   direct-route, masquerade or both (default)
  --family NAME       ipv4 (default), ipv6 or both
  --sessions N        TCP sessions with sequence-checked data both ways (default 1000, at most 20000)
  --flows N           UDP flows with the order of their answers checked (default 200, at most 5000)
  --opening-rate N    short sessions opened each second while a scenario runs (default 500, at most 2000; 0: none)
  --runs N            runs the list of scenarios N times and states the figures of all together (default 1, at most 500)
  --soak MINUTES      runs the list in turn for so long, a scenario each 20 s at most (default 0: no soak, at most 1440)
  --addresses N       virtual addresses of each virtual router (default 1, at most 255, of IPv6 80)
  --advert-int S      VRRP advertisement interval in seconds, 0.01 to 10 (default 0.1)
  --engine NAME       auto (default: xdp where kernel and privileges allow, else portable), xdp or portable
  --offloads on|off   segmentation and checksum offloads of the lab's interfaces (default on; with xdp they are off)
  --sync on|off       off leaves connection synchronisation out, to see what breaks without it (default on)
  --defer on|off      on lets the SYN of each new connection wait for the peer's acknowledgement (default off)
  --json              figures as JSON on stdout, progress on stderr
  --help              this text

Scenarios, each with what must hold beside the rules below; the sessions live through all of a list:
${describeScenarios()}
What must hold in every scenario, unless it says otherwise: no session broken (reset, closed, corrupted, or stalled for
over 10 s), from the moment its client has seen it established, and no UDP flow (no answer for 10 s, or a wrong one); by
a capture on the wire, never two directors active at once; and a forwarding gap of at most 50 ms, after a failure of at
most 3 x advert-int + skew + 50 ms.
Exit code: 0 all of it held, 1 something did not, or the drill could not be run, 2 wrong usage.
`;

const sessionsMax = 20_000;
const flowsMax = 5_000;
const openingRateMax = 2_000;
const runsMax = 500;
const soakMinutesMax = 1_440;
const addressesMax = 255;

function describeScenarios(): string {
  const width = 12;
  const indent = ' '.repeat(width + 2);
  // A name that is too long for its column has a line of its own.
  const heading = (name: string): string => (name.length < width ? name.padEnd(width) : `${name}\n${indent}`);
  return scenarioNames.map((name) => `  ${heading(name)}${scenarioTexts[name].help.join(`\n${indent}`)}\n`).join('');
}

/** Reads the arguments after `baton drill`. */
export function parseDrillArguments(argv: readonly string[]): ParsedCommand {
  try {
    return readArguments(argv);
  } catch (error) {
    const text = errorSentence(error);
    return { kind: 'wrong', sentence: `baton drill: ${text.split('. ')[0]}; see baton drill --help` };
  }
}

function readArguments(argv: readonly string[]): ParsedCommand {
  const { values } = parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      scenario: { type: 'string', default: defaultScenarios.join() },
      forwarding: { type: 'string', default: 'both' },
      family: { type: 'string', default: 'ipv4' },
      sessions: { type: 'string', default: '1000' },
      flows: { type: 'string', default: '200' },
      'opening-rate': { type: 'string', default: '500' },
      runs: { type: 'string', default: '1' },
      soak: { type: 'string', default: '0' },
      addresses: { type: 'string', default: '1' },
      'advert-int': { type: 'string', default: '0.1' },
      engine: { type: 'string', default: 'auto' },
      offloads: { type: 'string' },
      sync: { type: 'string', default: 'on' },
      defer: { type: 'string', default: 'off' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return { kind: 'help' };
  const given = values.scenario.split(',').map((name) => oneOf('--scenario', name, [...scenarioNames, 'all'] as const));
  const forwarding = oneOf('--forwarding', values.forwarding, ['direct-route', 'masquerade', 'both']);
  const options: DrillOptions = {
    scenarios: given.flatMap((name): readonly ScenarioName[] => (name === 'all' ? scenarioNames : [name])),
    forwardings: forwarding === 'both' ? ['direct-route', 'masquerade'] : [forwarding],
    family: oneOf('--family', values.family, ['ipv4', 'ipv6', 'both']),
    sessions: wholeNumber('--sessions', values.sessions, 1, sessionsMax),
    flows: wholeNumber('--flows', values.flows, 0, flowsMax),
    openingRate: wholeNumber('--opening-rate', values['opening-rate'], 0, openingRateMax),
    runs: wholeNumber('--runs', values.runs, 1, runsMax),
    soakMinutes: wholeNumber('--soak', values.soak, 0, soakMinutesMax),
    addresses: wholeNumber('--addresses', values.addresses, 1, addressesMax),
    advertIntervalMs: advertInterval(values['advert-int']),
    engine: oneOf('--engine', values.engine, engineRequests),
    ...(values.offloads === undefined
      ? {}
      : { offloads: oneOf('--offloads', values.offloads, ['on', 'off']) === 'on' }),
    sync: oneOf('--sync', values.sync, ['on', 'off']) === 'on',
    defer: oneOf('--defer', values.defer, ['on', 'off']) === 'on',
    json: values.json,
  };
  if (options.engine === 'xdp' && options.offloads === true) {
    throw new Error('--offloads on leaves checksums unfinished, which --engine xdp cannot see');
  }
  return { kind: 'run', options };
}

function oneOf<Name extends string>(option: string, given: string, names: readonly Name[]): Name {
  const found = names.find((name) => name === given);
  if (found === undefined) throw new Error(`${option} is one of ${names.join(', ')}, not '${given}'`);
  return found;
}

function wholeNumber(option: string, given: string, min: number, max: number): number {
  const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
  if (!(value >= min && value <= max)) throw new Error(`${option} is a number from ${min} to ${max}, not '${given}'`);
  return value;
}

/** VRRP version 3 counts in hundredths of a second. */
function advertInterval(given: string): number {
  const ms = /^\d+(\.\d+)?$/.test(given) ? Math.round(Number(given) * 1000) : Number.NaN;
  if (ms >= 10 && ms <= 10_000 && ms % 10 === 0) return ms;
  throw new Error(`--advert-int is a number of seconds from 0.01 to 10 in steps of 0.01, not '${given}'`);
}
