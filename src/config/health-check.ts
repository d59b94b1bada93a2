// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../lib/ip-address.ts';
import type { TcpCheck } from '../model/configuration.ts';
import { readStatements } from './block-reader.ts';
import type { DiagnosticCollector } from './diagnostic.ts';
import type { Statement } from './parser.ts';
import {
  checkAddress,
  checkDelayRange,
  checkPeriodRange,
  connectTimeoutRange,
  noArguments,
  onlyArgument,
  readSeconds,
  readSwitch,
  readWholeNumber,
} from './values.ts';

/** What a checker, a real server or a virtual server may say; what one leaves out comes from the next outer one. */
export interface CheckTimes {
  connectTimeoutMs?: number | undefined;
  retry?: number | undefined;
  delayBeforeRetryMs?: number | undefined;
  delayLoopMs?: number | undefined;
  warmupMs?: number | undefined;
  alpha?: boolean | undefined;
}

/** A `TCP_CHECK` as written. */
export interface TcpCheckStatement {
  readonly address: IpAddress | undefined;
  readonly port: number | undefined;
  readonly times: CheckTimes;
}

/** keepalived check_data.c (alloc_vs) and check_api.c (queue_checker). */
const defaultTimes = { connectTimeoutMs: 5000, retry: 1, delayBeforeRetryMs: 1000, delayLoopMs: 60_000 };

/** `alpha` of a checker or a real server: down until a check has succeeded. */
export function alphaReader(times: CheckTimes, diagnostics: DiagnosticCollector) {
  return {
    alpha: (statement: Statement) => {
      times.alpha = readSwitch(statement, diagnostics);
    },
  };
}

/** The readers of the times, the same in all three blocks but for the least `retry`: 0 only in a checker. */
export function timeReaders(times: CheckTimes, retryMin: number, diagnostics: DiagnosticCollector) {
  return {
    connect_timeout: (statement: Statement) => {
      times.connectTimeoutMs = readSeconds(statement, connectTimeoutRange, diagnostics);
    },
    retry: (statement: Statement) => {
      times.retry = readWholeNumber(statement, { min: retryMin, max: 4_294_967_295 }, diagnostics);
    },
    delay_before_retry: (statement: Statement) => {
      times.delayBeforeRetryMs = readSeconds(statement, checkDelayRange, diagnostics);
    },
    delay_loop: (statement: Statement) => {
      times.delayLoopMs = readSeconds(statement, checkPeriodRange, diagnostics);
    },
    warmup: (statement: Statement) => {
      times.warmupMs = readSeconds(statement, checkDelayRange, diagnostics);
    },
  };
}

export function readTcpCheck(statement: Statement, diagnostics: DiagnosticCollector): TcpCheckStatement {
  noArguments(statement, diagnostics);
  const times: CheckTimes = {};
  let address: IpAddress | undefined;
  let port: number | undefined;
  readStatements(
    statement.block?.statements ?? [],
    'TCP_CHECK',
    {
      ...timeReaders(times, 0, diagnostics),
      ...alphaReader(times, diagnostics),
      connect_ip: (inner) => {
        const word = onlyArgument(inner, diagnostics);
        if (word !== undefined) address = checkAddress(word, diagnostics);
      },
      connect_port: (inner) => {
        port = readWholeNumber(inner, { min: 1, max: 65_535 }, diagnostics);
      },
    },
    diagnostics,
  );
  return { address, port, times };
}

/** Fills in the real server's times, then the virtual server's, then keepalived's defaults. */
export function completeTcpCheck(
  check: TcpCheckStatement,
  server: { readonly address: IpAddress; readonly port: number },
  outer: readonly CheckTimes[],
): TcpCheck {
  const layers = [check.times, ...outer, defaultTimes];
  const pick = <Name extends keyof CheckTimes>(name: Name): CheckTimes[Name] =>
    layers.map((layer: CheckTimes) => layer[name]).find((value) => value !== undefined);
  const delayLoopMs = pick('delayLoopMs') ?? defaultTimes.delayLoopMs;
  return {
    kind: 'tcp',
    address: check.address ?? server.address,
    port: check.port ?? server.port,
    connectTimeoutMs: pick('connectTimeoutMs') ?? defaultTimes.connectTimeoutMs,
    retry: pick('retry') ?? defaultTimes.retry,
    delayBeforeRetryMs: pick('delayBeforeRetryMs') ?? defaultTimes.delayBeforeRetryMs,
    delayLoopMs,
    warmupMs: pick('warmupMs') ?? delayLoopMs,
    ...(pick('alpha') === true ? { alpha: true } : {}),
  };
}
