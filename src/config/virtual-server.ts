// SPDX-License-Identifier: Apache-2.0

import { type CheckOptions, timeReaders } from '../health/checkers/check-options.ts';
import { familyOf } from '../lib/ip-address.ts';
import type { CheckedRealServer, ConfiguredService } from '../model/configuration.ts';
import type { ForwardingMethod } from '../model/forwarding-method.ts';
import { endpointName, type SchedulerName, type TransportProtocol } from '../model/virtual-service.ts';
import { quote, readStatements } from './language/block-reader.ts';
import { type DiagnosticCollector, formatPlace, type Span } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import {
  checkAddress,
  checkWholeNumber,
  familyName,
  noArguments,
  onlyArgument,
  portRange,
  readWholeNumber,
  refuseLinkLocal,
} from './language/values.ts';
import { completePersistence, type PersistenceStatement, persistenceReaders } from './persistence.ts';
import {
  completeMember,
  completeRealServer,
  type Endpoint,
  type PoolMember,
  type RealServerStatement,
  readForwardingMethod,
  readPoolMember,
  readRealServer,
  weightRange,
} from './real-server.ts';
import { noFlags, readSchedulerName, schedulerFlags } from './scheduler-choice.ts';

/** A virtual service and where it stands. */
export interface PlacedService {
  readonly span: Span;
  readonly service: ConfiguredService;
}

interface ServerBody {
  scheduler: SchedulerName | undefined;
  schedulerGiven: boolean;
  /** The scheduler's flags as written, in order. */
  readonly flags: Word[];
  method: ForwardingMethod | undefined;
  methodGiven: boolean;
  protocol: TransportProtocol | undefined;
  protocolGiven: boolean;
  onePacketSpan: Span | undefined;
  readonly persistence: PersistenceStatement;
  weight: number;
  inhibitOnFailure: boolean;
  quorum: number;
  quorumSpan: Span;
  hysteresis: number;
  hysteresisSpan: Span;
  readonly checkOptions: CheckOptions;
  readonly realServers: RealServerStatement[];
  realServerGiven: boolean;
  sorryServer: PoolMember | undefined;
  sorryServerGiven: boolean;
  sorryMethod: ForwardingMethod | undefined;
}

const quorumRange = { min: 1, max: 4_294_967_295 };
/** IPVS_DEF_SCHED of keepalived. */
const defaultScheduler = 'wlc';

export function readVirtualServer(statement: Statement, diagnostics: DiagnosticCollector): PlacedService | undefined {
  const { span } = statement.keyword;
  const endpoint = readEndpoint(statement, diagnostics);
  const body: ServerBody = {
    scheduler: undefined,
    schedulerGiven: false,
    flags: [],
    method: undefined,
    methodGiven: false,
    protocol: undefined,
    protocolGiven: false,
    onePacketSpan: undefined,
    persistence: { timeoutMs: undefined, granularity: undefined },
    weight: 1,
    inhibitOnFailure: false,
    quorum: 1,
    quorumSpan: span,
    hysteresis: 0,
    hysteresisSpan: span,
    checkOptions: {},
    realServers: [],
    realServerGiven: false,
    sorryServer: undefined,
    sorryServerGiven: false,
    sorryMethod: undefined,
  };
  readStatements(
    statement.block?.statements ?? [],
    'virtual_server',
    {
      ...timeReaders(body.checkOptions, 1, diagnostics),
      ...persistenceReaders(body.persistence, diagnostics),
      ...schedulingReaders(body, diagnostics),
      ...poolReaders(body, endpoint, diagnostics),
    },
    diagnostics,
  );
  // Without a usable endpoint the block was still read for errors, but nothing is said about missing keywords.
  if (endpoint === undefined) return undefined;
  return completeService(span, endpoint, body, diagnostics);
}

/** `IP PORT`; `fwmark`, `group` and a service for all ports are recognised but not supported. */
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
  const address = checkAddress(first, diagnostics);
  if (address !== undefined) refuseLinkLocal(address, first, diagnostics);
  if (second === undefined || /^0+$/.test(second.text)) {
    diagnostics.error(second?.span ?? span, 'a virtual_server for all ports is not supported yet: give a port');
    return undefined;
  }
  const port = checkWholeNumber(second, 'the port', portRange, diagnostics);
  return address === undefined || port === undefined ? undefined : { address, port };
}

function schedulingReaders(body: ServerBody, diagnostics: DiagnosticCollector) {
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
    ops: (statement: Statement) => {
      noArguments(statement, diagnostics);
      body.onePacketSpan = statement.keyword.span;
    },
    protocol: (statement: Statement) => {
      body.protocolGiven = true;
      body.protocol = readProtocol(statement, diagnostics) ?? body.protocol;
    },
  };
}

function poolReaders(body: ServerBody, endpoint: Endpoint | undefined, diagnostics: DiagnosticCollector) {
  return {
    ip_family: (statement: Statement) => checkFamily(statement, endpoint, diagnostics),
    weight: (statement: Statement) => {
      body.weight = readWholeNumber(statement, { ...weightRange, min: 1 }, diagnostics) ?? body.weight;
    },
    alpha: (statement: Statement) => {
      noArguments(statement, diagnostics);
      body.checkOptions.alpha = true;
    },
    inhibit_on_failure: (statement: Statement) => {
      noArguments(statement, diagnostics);
      body.inhibitOnFailure = true;
    },
    quorum: (statement: Statement) => {
      body.quorumSpan = statement.keyword.span;
      body.quorum = readWholeNumber(statement, quorumRange, diagnostics) ?? body.quorum;
    },
    hysteresis: (statement: Statement) => {
      body.hysteresisSpan = statement.keyword.span;
      body.hysteresis = readWholeNumber(statement, { ...quorumRange, min: 0 }, diagnostics) ?? body.hysteresis;
    },
    sorry_server: (statement: Statement) => {
      body.sorryServerGiven = true;
      body.sorryServer = readPoolMember(statement, endpoint, diagnostics);
      body.sorryMethod = undefined;
    },
    // keepalived applies it to the sorry_server before it; without one it has no effect (check_parser.c).
    sorry_server_lvs_method: (statement: Statement) => {
      const method = readForwardingMethod(statement, diagnostics);
      if (body.sorryServerGiven) body.sorryMethod = method;
      else {
        diagnostics.warning(
          statement.keyword.span,
          'sorry_server_lvs_method is ignored: no sorry_server stands before it',
        );
      }
    },
    real_server: (statement: Statement) => {
      body.realServerGiven = true;
      const server = readRealServer(statement, endpoint, diagnostics);
      if (server !== undefined) body.realServers.push(server);
    },
  };
}

function checkFamily(statement: Statement, endpoint: Endpoint | undefined, diagnostics: DiagnosticCollector): void {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return;
  if (word.text !== 'inet' && word.text !== 'inet6') {
    diagnostics.error(word.span, `ip_family must be inet or inet6, not ${quote(word.text)}`);
    return;
  }
  const family = word.text === 'inet6' ? 'ipv6' : 'ipv4';
  if (endpoint !== undefined && familyOf(endpoint.address) !== family) {
    const { address } = endpoint;
    diagnostics.error(
      word.span,
      `ip_family ${word.text} does not go with ${address}, an ${familyName(familyOf(address))} address`,
    );
  }
}

function readProtocol(statement: Statement, diagnostics: DiagnosticCollector): TransportProtocol | undefined {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return undefined;
  const protocol = word.text.toUpperCase();
  if (protocol === 'TCP') return 'tcp';
  if (protocol === 'UDP') return 'udp';
  if (protocol === 'SCTP') diagnostics.error(word.span, 'SCTP is not supported yet: only TCP and UDP are');
  else diagnostics.error(word.span, `protocol must be TCP or UDP, not ${quote(word.text)}`);
  return undefined;
}

function completeService(
  span: Span,
  endpoint: Endpoint,
  body: ServerBody,
  diagnostics: DiagnosticCollector,
): PlacedService | undefined {
  const { address, port } = endpoint;
  // IPVS takes a service without a protocol for UDP (check_data.c, validate_check_config).
  const protocol = body.protocol ?? 'udp';
  if (!body.protocolGiven) diagnostics.warning(span, 'the virtual_server has no protocol: UDP is used');
  if (!body.schedulerGiven) {
    diagnostics.warning(span, `the virtual_server has no lvs_sched: ${defaultScheduler} is used`);
  }
  if (!body.methodGiven && body.realServers.some((server) => server.method === undefined)) {
    diagnostics.warning(span, 'the virtual_server has no lvs_method: NAT is used');
  }
  const onePacket = body.onePacketSpan !== undefined && protocol === 'udp';
  if (body.onePacketSpan !== undefined && body.protocolGiven && body.protocol === 'tcp') {
    diagnostics.warning(body.onePacketSpan, 'ops has no effect without protocol UDP: it is ignored');
  }
  const name = body.scheduler ?? defaultScheduler;
  const flags =
    body.schedulerGiven && body.scheduler === undefined ? noFlags : schedulerFlags(name, body.flags, diagnostics);
  const persistence = completePersistence(body.persistence, familyOf(address), diagnostics);
  if (!body.realServerGiven) {
    diagnostics.warning(span, 'the virtual_server has no real_server: it is ignored');
    return undefined;
  }
  const realServers = completeRealServers(body, port, diagnostics);
  const sorryServer =
    body.sorryServer === undefined
      ? undefined
      : completeMember(body.sorryServer, body.sorryMethod ?? body.method, 1, port, diagnostics);
  return {
    span,
    service: {
      address,
      port,
      protocol,
      scheduler: { name, ...flags },
      ...(persistence === undefined ? {} : { persistence }),
      ...(onePacket ? { onePacket } : {}),
      ...completeQuorum(body, realServers, diagnostics),
      realServers,
      ...(sorryServer === undefined ? {} : { sorryServer }),
    },
  };
}

function completeRealServers(body: ServerBody, port: number, diagnostics: DiagnosticCollector): CheckedRealServer[] {
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
  return [...realServers.values()].map(({ server }) => server);
}

/** A quorum that these weights cannot reach is lowered to one that they can (check_data.c, validate_check_config). */
function completeQuorum(
  body: ServerBody,
  realServers: readonly CheckedRealServer[],
  diagnostics: DiagnosticCollector,
): Pick<ConfiguredService, 'quorum' | 'hysteresis'> {
  const total = Math.max(
    1,
    realServers.reduce((sum, { weight }) => sum + weight, 0),
  );
  const quorum = Math.min(body.quorum, total);
  if (quorum < body.quorum) {
    diagnostics.warning(
      body.quorumSpan,
      `the weights of all real servers together are less than the quorum ${body.quorum}: ${quorum} is used`,
    );
  }
  const hysteresis = Math.min(body.hysteresis, quorum - 1);
  if (hysteresis < body.hysteresis) {
    diagnostics.warning(
      body.hysteresisSpan,
      `hysteresis ${body.hysteresis} must be below the quorum ${quorum}: ${hysteresis} is used`,
    );
  }
  return { ...(quorum > 1 ? { quorum } : {}), ...(hysteresis > 0 ? { hysteresis } : {}) };
}
