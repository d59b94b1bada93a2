// SPDX-License-Identifier: Apache-2.0

import { alphaReader, type CheckOptions, timeReaders } from '../health/checkers/check-options.ts';
import { type CompleteCheck, checkerReaders } from '../health/checkers/checkers.ts';
import { type Family, familyOf, type IpAddress } from '../lib/ip-address.ts';
import type { CheckedRealServer } from '../model/configuration.ts';
import { type ForwardingMethod, forwardingMethods, methodByKeyword } from '../model/forwarding-method.ts';
import type { RealServer } from '../model/virtual-service.ts';
import { quote, readStatements } from './language/block-reader.ts';
import type { DiagnosticCollector, Span } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import {
  checkAddress,
  checkWholeNumber,
  familyName,
  onlyArgument,
  parseWholeNumber,
  portRange,
  readSwitch,
  readWholeNumber,
  refuseLinkLocal,
} from './language/values.ts';

/** A service's address and port. */
export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** A `real_server` or `sorry_server` as its own line gives it, without its block. */
export interface PoolMember extends Endpoint {
  readonly span: Span;
  readonly portSpan: Span;
}

export interface RealServerStatement extends PoolMember {
  readonly weight: number | undefined;
  readonly method: ForwardingMethod | undefined;
  readonly upperThreshold: number | undefined;
  readonly connectionRateMax: number | undefined;
  readonly lowerThreshold: number | undefined;
  readonly inhibitOnFailure: boolean | undefined;
  readonly checkOptions: CheckOptions;
  readonly checks: readonly CompleteCheck[];
}

/** The values of a virtual_server that hold for all its real servers. */
export interface PoolDefaults {
  readonly method: ForwardingMethod | undefined;
  readonly weight: number;
  readonly inhibitOnFailure: boolean;
  readonly checkOptions: CheckOptions;
}

export const weightRange = { min: 0, max: 65_535 };
const thresholdRange = { min: 0, max: 4_294_967_295 };
const supportedKeywords = Object.values(forwardingMethods)
  .flatMap(({ supported, keyword }) => (supported ? [keyword] : []))
  .join(' or ');

/** `service` is undefined when the virtual_server's own line cannot be used. */
export function readRealServer(
  statement: Statement,
  service: Endpoint | undefined,
  diagnostics: DiagnosticCollector,
): RealServerStatement | undefined {
  const checkOptions: CheckOptions = {};
  const checks: CompleteCheck[] = [];
  let weight: number | undefined;
  let method: ForwardingMethod | undefined;
  let inhibitOnFailure: boolean | undefined;
  let upperThreshold: number | undefined;
  let connectionRateMax: number | undefined;
  let lowerThreshold: number | undefined;
  let thresholdSpan = statement.keyword.span;
  readStatements(
    statement.block?.statements ?? [],
    'real_server',
    {
      ...timeReaders(checkOptions, 1, diagnostics),
      ...alphaReader(checkOptions, diagnostics),
      ...checkerReaders(checks, diagnostics),
      weight: (inner) => {
        weight = readWholeNumber(inner, weightRange, diagnostics);
      },
      lvs_method: (inner) => {
        method = readForwardingMethod(inner, diagnostics);
      },
      inhibit_on_failure: (inner) => {
        inhibitOnFailure = readSwitch(inner, diagnostics);
      },
      uthreshold: (inner) => {
        upperThreshold = readWholeNumber(inner, thresholdRange, diagnostics);
      },
      lthreshold: (inner) => {
        thresholdSpan = inner.keyword.span;
        lowerThreshold = readWholeNumber(inner, thresholdRange, diagnostics);
      },
      max_connection_rate: (inner) => {
        connectionRateMax = readWholeNumber(inner, thresholdRange, diagnostics);
      },
    },
    diagnostics,
  );
  // ip_vs_ctl.c, ip_vs_add_dest: ERANGE.
  if ((lowerThreshold ?? 0) > (upperThreshold ?? 0)) {
    diagnostics.error(thresholdSpan, `lthreshold ${lowerThreshold} is above uthreshold ${upperThreshold ?? 0}`);
  }
  const member = readPoolMember(statement, service, diagnostics);
  if (member === undefined) return undefined;
  return {
    ...member,
    weight,
    method,
    upperThreshold,
    lowerThreshold,
    connectionRateMax,
    inhibitOnFailure,
    checkOptions,
    checks,
  };
}

/** `ADDR [PORT]`, of the service's family (ip_vs_ctl.c, ip_vs_add_dest: only tunnels cross families). */
export function readPoolMember(
  statement: Statement,
  service: Endpoint | undefined,
  diagnostics: DiagnosticCollector,
): PoolMember | undefined {
  const [first, second, third] = statement.arguments;
  const { text, span } = statement.keyword;
  if (first === undefined) {
    diagnostics.error(span, `${text} needs an address and a port`);
    return undefined;
  }
  if (third !== undefined) {
    diagnostics.warning(third.span, `${quote(third.text)} is ignored: ${text} takes an address and a port`);
  }
  const address = checkAddress(first, diagnostics, service === undefined ? undefined : sameFamily(service));
  const port = readRealPort(second, service?.port ?? 0, diagnostics);
  if (address === undefined || port === undefined) return undefined;
  refuseLinkLocal(address, first, diagnostics);
  return { span, address, port, portSpan: second?.span ?? span };
}

function sameFamily({ address }: Endpoint): { readonly family: Family; readonly because: string } {
  const family = familyOf(address);
  const crossing = 'only TUN, which is not supported yet, crosses families';
  return { family, because: `the virtual_server is ${familyName(family)}, and ${crossing}` };
}

export function readForwardingMethod(
  statement: Statement,
  diagnostics: DiagnosticCollector,
): ForwardingMethod | undefined {
  const [word] = statement.arguments;
  const method = methodByKeyword(word?.text);
  if (word !== undefined && method?.supported === false) {
    diagnostics.error(word.span, `${method.keyword} is not supported yet: choose ${supportedKeywords}`);
    return undefined;
  }
  const only = onlyArgument(statement, diagnostics);
  if (only === undefined || method !== undefined) return method?.name;
  diagnostics.error(only.span, `${statement.keyword.text} must be ${supportedKeywords}, not ${quote(only.text)}`);
  return undefined;
}

export function completeRealServer(
  server: RealServerStatement,
  virtualPort: number,
  defaults: PoolDefaults,
  diagnostics: DiagnosticCollector,
): CheckedRealServer {
  const weight = server.weight ?? defaults.weight;
  const member = completeMember(server, server.method ?? defaults.method, weight, virtualPort, diagnostics);
  const { upperThreshold = 0, lowerThreshold = 0, connectionRateMax = 0 } = server;
  const outer = [server.checkOptions, defaults.checkOptions];
  return {
    ...member,
    ...(upperThreshold > 0 ? { upperThreshold } : {}),
    ...(lowerThreshold > 0 ? { lowerThreshold } : {}),
    ...(connectionRateMax > 0 ? { connectionRateMax } : {}),
    ...((server.inhibitOnFailure ?? defaults.inhibitOnFailure) ? { inhibitOnFailure: true } : {}),
    checks: server.checks.map((complete) => complete(member, outer)),
  };
}

export function completeMember(
  server: PoolMember,
  method: ForwardingMethod | undefined,
  weight: number,
  virtualPort: number,
  diagnostics: DiagnosticCollector,
): RealServer {
  const forwardingMethod = method ?? 'masquerade';
  const { keyword, rewritesPorts } = forwardingMethods[forwardingMethod];
  // The packet reaches the real server with its destination port unchanged.
  const mustBeVirtual = !rewritesPorts && server.port !== virtualPort;
  if (mustBeVirtual) {
    diagnostics.warning(
      server.portSpan,
      `${keyword} cannot change the port ${virtualPort} to ${server.port}: ${virtualPort} is used`,
    );
  }
  return { address: server.address, port: mustBeVirtual ? virtualPort : server.port, weight, forwardingMethod };
}

/** No port, or port 0, stands for the virtual server's port (check_data.c, validate_check_config). */
function readRealPort(
  word: Word | undefined,
  virtualPort: number,
  diagnostics: DiagnosticCollector,
): number | undefined {
  if (word === undefined || parseWholeNumber(word.text, { min: 0, max: 0 }) !== undefined) return virtualPort;
  return checkWholeNumber(word, 'the port', portRange, diagnostics);
}
