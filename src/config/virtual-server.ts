// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../lib/ip-address.ts';
import type { CheckedRealServer, ConfiguredService } from '../model/configuration.ts';
import { endpointName, type ForwardingMethod, type SchedulerName, schedulerNames } from '../model/virtual-service.ts';
import { quote, readStatements } from './block-reader.ts';
import { type DiagnosticCollector, formatPlace, type Span } from './diagnostic.ts';
import {
  type CheckTimes,
  completeTcpCheck,
  readTcpCheck,
  type TcpCheckStatement,
  timeReaders,
} from './health-check.ts';
import type { Word } from './lexer.ts';
import type { Statement } from './parser.ts';
import { nearest } from './spelling.ts';
import {
  checkIpv4Address,
  checkWholeNumber,
  noArguments,
  onlyArgument,
  parseWholeNumber,
  readWholeNumber,
} from './values.ts';

/** A virtual service and where it stands. */
export interface PlacedService {
  readonly span: Span;
  readonly service: ConfiguredService;
}

interface RealServerStatement {
  readonly span: Span;
  readonly address: IpAddress;
  readonly port: number;
  readonly portSpan: Span;
  readonly weight: number | undefined;
  readonly method: ForwardingMethod | undefined;
  readonly times: CheckTimes;
  readonly checks: readonly TcpCheckStatement[];
}

interface ServerBody {
  scheduler: SchedulerName | undefined;
  schedulerGiven: boolean;
  /** The scheduler's flags as written, in order. */
  readonly flags: Word[];
  method: ForwardingMethod | undefined;
  methodGiven: boolean;
  protocolGiven: boolean;
  weight: number;
  readonly times: CheckTimes;
  readonly realServers: RealServerStatement[];
  realServerGiven: boolean;
}

const supportedSchedulers = ['rr', 'wrr', 'lc', 'wlc', 'sh', 'mh'] as const satisfies readonly SchedulerName[];
const portRange = { min: 1, max: 65_535 };
const weightRange = { min: 0, max: 65_535 };
/** IPVS_DEF_SCHED of keepalived. */
const defaultScheduler = 'wlc';

export function readVirtualServer(statement: Statement, diagnostics: DiagnosticCollector): PlacedService | undefined {
  const endpoint = readEndpoint(statement, diagnostics);
  const body: ServerBody = {
    scheduler: undefined,
    schedulerGiven: false,
    flags: [],
    method: undefined,
    methodGiven: false,
    protocolGiven: false,
    weight: 1,
    times: {},
    realServers: [],
    realServerGiven: false,
  };
  readStatements(
    statement.block?.statements ?? [],
    'virtual_server',
    {
      ...timeReaders(body.times, 1, diagnostics),
      ...bodyReaders(body, endpoint?.port ?? 0, diagnostics),
    },
    diagnostics,
  );
  const { span } = statement.keyword;
  // Without a usable endpoint the block was still read for what is wrong in it, but what it lacks does not matter.
  if (endpoint === undefined) return undefined;
  return completeService(span, endpoint, body, diagnostics);
}

interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** `IP PORT`; the other two forms and a service for all ports are known but not supported. */
function readEndpoint(statement: Statement, diagnostics: DiagnosticCollector): Endpoint | undefined {
  const { span } = statement.keyword;
  const [first, second, third] = statement.arguments;
  if (first === undefined) {
    diagnostics.error(span, 'virtual_server needs an address and a port');
    return undefined;
  }
  if (first.text === 'fwmark' || first.text === 'group') {
    diagnostics.error(
      first.span,
      `virtual_server ${first.text} is not supported yet: write virtual_server ADDRESS PORT`,
    );
    return undefined;
  }
  if (third !== undefined) {
    diagnostics.warning(third.span, `${quote(third.text)} is ignored: virtual_server takes an address and a port`);
  }
  const address = checkIpv4Address(first, diagnostics);
  if (second === undefined || /^0+$/.test(second.text)) {
    diagnostics.error(second?.span ?? span, 'a virtual_server for all ports is not supported yet: give a port');
    return undefined;
  }
  const port = checkWholeNumber(second, 'the port', portRange, diagnostics);
  return address === undefined || port === undefined ? undefined : { address, port };
}

function bodyReaders(body: ServerBody, virtualPort: number, diagnostics: DiagnosticCollector) {
  const readScheduler = (statement: Statement): void => {
    body.schedulerGiven = true;
    body.scheduler = readSchedulerName(statement, body.flags, diagnostics) ?? body.scheduler;
  };
  const readFlag = (statement: Statement): void => {
    noArguments(statement, diagnostics);
    body.flags.push(statement.keyword);
  };
  const readMethod = (statement: Statement): void => {
    body.methodGiven = true;
    body.method = readForwardingMethod(statement, diagnostics) ?? body.method;
  };
  return {
    lb_algo: readScheduler,
    lvs_sched: readScheduler,
    'flag-1': readFlag,
    'flag-2': readFlag,
    'sh-port': readFlag,
    'sh-fallback': readFlag,
    'mh-port': readFlag,
    'mh-fallback': readFlag,
    lb_kind: readMethod,
    lvs_method: readMethod,
    protocol: (statement: Statement) => {
      body.protocolGiven = true;
      readProtocol(statement, diagnostics);
    },
    weight: (statement: Statement) => {
      body.weight = readWholeNumber(statement, { ...weightRange, min: 1 }, diagnostics) ?? body.weight;
    },
    real_server: (statement: Statement) => {
      body.realServerGiven = true;
      const server = readRealServer(statement, virtualPort, diagnostics);
      if (server !== undefined) body.realServers.push(server);
    },
  };
}

/** Takes the scheduler's flags behind its name too, as `ipvsadm -b` has them. */
function readSchedulerName(
  statement: Statement,
  flags: Word[],
  diagnostics: DiagnosticCollector,
): SchedulerName | undefined {
  const { text: keyword, span } = statement.keyword;
  const [word, ...rest] = statement.arguments;
  if (word === undefined) {
    diagnostics.error(span, `${keyword} needs a scheduler: ${supportedSchedulers.join(', ')}`);
    return undefined;
  }
  for (const flag of rest) {
    if (/^(flag-[12]|[sm]h-(port|fallback))$/.test(flag.text)) flags.push(flag);
    else diagnostics.warning(flag.span, `${quote(flag.text)} is ignored: ${keyword} takes a scheduler and its flags`);
  }
  const name = schedulerNames.find((scheduler) => scheduler === word.text);
  if (name === undefined) {
    const meant = nearest(word.text, schedulerNames);
    const hint = meant === undefined ? `choose one of ${supportedSchedulers.join(', ')}` : `did you mean ${meant}?`;
    diagnostics.error(word.span, `unknown scheduler ${quote(word.text)}: ${hint}`);
    return undefined;
  }
  if (!supportedSchedulers.some((scheduler) => scheduler === name)) {
    diagnostics.error(
      word.span,
      `the scheduler ${name} is not supported yet: choose one of ${supportedSchedulers.join(', ')}`,
    );
    return undefined;
  }
  return name;
}

function readForwardingMethod(statement: Statement, diagnostics: DiagnosticCollector): ForwardingMethod | undefined {
  const [word] = statement.arguments;
  if (word?.text === 'TUN') {
    diagnostics.error(word.span, 'TUN is not supported yet: choose NAT or DR');
    return undefined;
  }
  const only = onlyArgument(statement, diagnostics);
  if (only === undefined) return undefined;
  if (only.text === 'NAT') return 'masquerade';
  if (only.text === 'DR') return 'direct-route';
  diagnostics.error(only.span, `${statement.keyword.text} must be NAT or DR, not ${quote(only.text)}`);
  return undefined;
}

function readProtocol(statement: Statement, diagnostics: DiagnosticCollector): void {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return;
  const protocol = word.text.toUpperCase();
  if (protocol === 'UDP' || protocol === 'SCTP')
    diagnostics.error(word.span, `${protocol} is not supported yet: only TCP is`);
  else if (protocol !== 'TCP') diagnostics.error(word.span, `protocol must be TCP, not ${quote(word.text)}`);
}

function readRealServer(
  statement: Statement,
  virtualPort: number,
  diagnostics: DiagnosticCollector,
): RealServerStatement | undefined {
  const [first, second, third] = statement.arguments;
  const { span } = statement.keyword;
  const times: CheckTimes = {};
  const checks: TcpCheckStatement[] = [];
  let weight: number | undefined;
  let method: ForwardingMethod | undefined;
  readStatements(
    statement.block?.statements ?? [],
    'real_server',
    {
      ...timeReaders(times, 1, diagnostics),
      weight: (inner) => {
        weight = readWholeNumber(inner, weightRange, diagnostics);
      },
      lvs_method: (inner) => {
        method = readForwardingMethod(inner, diagnostics);
      },
      TCP_CHECK: (inner) => {
        checks.push(readTcpCheck(inner, diagnostics));
      },
    },
    diagnostics,
  );
  if (first === undefined) {
    diagnostics.error(span, 'real_server needs an address and a port');
    return undefined;
  }
  if (third !== undefined) {
    diagnostics.warning(third.span, `${quote(third.text)} is ignored: real_server takes an address and a port`);
  }
  const address = checkIpv4Address(first, diagnostics);
  const port = readRealPort(second, virtualPort, diagnostics);
  if (address === undefined || port === undefined) return undefined;
  return { span, address, port, portSpan: second?.span ?? span, weight, method, times, checks };
}

/** No port, or 0, is the virtual server's (check_data.c, validate_check_config). */
function readRealPort(
  word: Word | undefined,
  virtualPort: number,
  diagnostics: DiagnosticCollector,
): number | undefined {
  if (word === undefined || parseWholeNumber(word.text, { min: 0, max: 0 }) !== undefined) return virtualPort;
  return checkWholeNumber(word, 'the port', portRange, diagnostics);
}

function completeService(
  span: Span,
  { address, port }: Endpoint,
  body: ServerBody,
  diagnostics: DiagnosticCollector,
): PlacedService | undefined {
  if (!body.protocolGiven) {
    diagnostics.error(
      span,
      'the virtual_server has no protocol, which means UDP, and UDP is not supported yet: write protocol TCP',
    );
  }
  if (!body.schedulerGiven) {
    diagnostics.warning(span, `the virtual_server has no lvs_sched: ${defaultScheduler} is used`);
  }
  if (!body.methodGiven && body.realServers.some((server) => server.method === undefined)) {
    diagnostics.warning(span, 'the virtual_server has no lvs_method: NAT is used');
  }
  const name = body.scheduler ?? defaultScheduler;
  const flags =
    body.schedulerGiven && body.scheduler === undefined ? noFlags : schedulerFlags(name, body.flags, diagnostics);
  if (!body.realServerGiven) {
    diagnostics.warning(span, 'the virtual_server has no real_server: it is ignored');
    return undefined;
  }
  const realServers = new Map<string, { readonly span: Span; readonly server: CheckedRealServer }>();
  for (const written of body.realServers) {
    const server = completeRealServer(written, port, body, diagnostics);
    const earlier = realServers.get(endpointName(server));
    if (earlier === undefined) realServers.set(endpointName(server), { span: written.span, server });
    else {
      const place = formatPlace(earlier.span);
      diagnostics.warning(written.span, `this real_server is given already at ${place}: this one is ignored`);
    }
  }
  return {
    span,
    service: {
      address,
      port,
      protocol: 'tcp',
      scheduler: { name, ...flags },
      realServers: [...realServers.values()].map(({ server }) => server),
    },
  };
}

function completeRealServer(
  server: RealServerStatement,
  virtualPort: number,
  body: ServerBody,
  diagnostics: DiagnosticCollector,
): CheckedRealServer {
  const forwardingMethod = server.method ?? body.method ?? 'masquerade';
  // Only the destination MAC address changes on the way: the real server gets the packet with the port it had.
  const mustBeVirtual = forwardingMethod === 'direct-route' && server.port !== virtualPort;
  if (mustBeVirtual) {
    diagnostics.warning(
      server.portSpan,
      `DR cannot change the port ${virtualPort} to ${server.port}: ${virtualPort} is used`,
    );
  }
  const port = mustBeVirtual ? virtualPort : server.port;
  const endpoint = { address: server.address, port };
  return {
    ...endpoint,
    weight: server.weight ?? body.weight,
    forwardingMethod,
    checks: server.checks.map((check) => completeTcpCheck(check, endpoint, [server.times, body.times])),
  };
}

const noFlags = { hashPort: false, fallback: false };

/** sh and mh share flag-1 (fallback) and flag-2 (port) (uapi ip_vs.h, IP_VS_SVC_F_SCHED_SH_* and _MH_*). */
function schedulerFlags(
  scheduler: SchedulerName,
  words: readonly Word[],
  diagnostics: DiagnosticCollector,
): { hashPort: boolean; fallback: boolean } {
  let { hashPort, fallback } = noFlags;
  for (const { text, span } of words) {
    const owner = text.startsWith('flag-') ? undefined : text.slice(0, 2);
    const applies = scheduler === 'sh' || scheduler === 'mh' ? owner === undefined || owner === scheduler : false;
    if (!applies) diagnostics.warning(span, `${text} has no effect with the scheduler ${scheduler}: it is ignored`);
    else if (text === 'flag-2' || text.endsWith('-port')) hashPort = true;
    else fallback = true;
  }
  return { hashPort, fallback };
}
