// SPDX-License-Identifier: Apache-2.0
import type { DiagnosticCollector } from '../../config/language/diagnostic.ts';
import type { Statement } from '../../config/language/parser.ts';
import {
  checkAddress,
  onlyArgument,
  portRange,
  type Range,
  readSeconds,
  readSwitch,
  readWholeNumber,
} from '../../config/language/values.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { CheckTiming } from '../../model/configuration.ts';

/** Options of a checker, a real server and a virtual server; one left out is taken from the next outer block. */
export interface CheckOptions {
  timeoutMs?: number | undefined;
  retry?: number | undefined;
  delayBeforeRetryMs?: number | undefined;
  delayLoopMs?: number | undefined;
  warmupMs?: number | undefined;
  alpha?: boolean | undefined;
}

/** `connect_ip` and `connect_port` of a block, as written. */
export interface WrittenEndpoint {
  address?: IpAddress | undefined;
  port?: number | undefined;
}

/** keepalived check_data.c (alloc_vs) and check_api.c (queue_checker). */
const defaultOptions = { timeoutMs: 5000, retry: 1, delayBeforeRetryMs: 1000, delayLoopMs: 60_000 };

/** Seconds. keepalived allows as many as fit in its microseconds; a year is far beyond any use. */
const delayRange: Range = { min: 0, max: 31_536_000 };
const periodRange: Range = { min: 0.000_001, max: 31_536_000 };
/** In seconds: UINT_MAX microseconds. */
const timeoutRange: Range = { min: 0.000_001, max: 4294 };

/**
 * The readers of the times, the same in all three blocks except for the minimum of `retry`, which is 0 in a checker and
 * 1 elsewhere.
 */
export function timeReaders(options: CheckOptions, retryMin: number, diagnostics: DiagnosticCollector) {
  return {
    connect_timeout: (statement: Statement) => {
      options.timeoutMs = readSeconds(statement, timeoutRange, diagnostics);
    },
    retry: (statement: Statement) => {
      options.retry = readWholeNumber(statement, { min: retryMin, max: 4_294_967_295 }, diagnostics);
    },
    delay_before_retry: (statement: Statement) => {
      options.delayBeforeRetryMs = readSeconds(statement, delayRange, diagnostics);
    },
    delay_loop: (statement: Statement) => {
      options.delayLoopMs = readSeconds(statement, periodRange, diagnostics);
    },
    warmup: (statement: Statement) => {
      options.warmupMs = readSeconds(statement, delayRange, diagnostics);
    },
  };
}

/** `alpha` of a checker or a real server: down until a check has succeeded. */
export function alphaReader(options: CheckOptions, diagnostics: DiagnosticCollector) {
  return {
    alpha: (statement: Statement) => {
      options.alpha = readSwitch(statement, diagnostics);
    },
  };
}

/** The options that every checker has. */
export function optionReaders(options: CheckOptions, diagnostics: DiagnosticCollector) {
  return { ...timeReaders(options, 0, diagnostics), ...alphaReader(options, diagnostics) };
}

/** Checkers that connect may be given another address or port than the real server's own. */
export function endpointReaders(endpoint: WrittenEndpoint, diagnostics: DiagnosticCollector) {
  return {
    connect_ip: (statement: Statement) => {
      const word = onlyArgument(statement, diagnostics);
      if (word !== undefined) endpoint.address = checkAddress(word, diagnostics);
    },
    connect_port: (statement: Statement) => {
      endpoint.port = readWholeNumber(statement, portRange, diagnostics);
    },
  };
}

/** Each option is taken from the innermost block that has it: checker, real server, virtual server, or the default. */
export function completeTiming(layers: readonly CheckOptions[]): CheckTiming {
  const pick = <Name extends keyof CheckOptions>(name: Name): CheckOptions[Name] =>
    layers.map((layer) => layer[name]).find((value) => value !== undefined);
  const delayLoopMs = pick('delayLoopMs') ?? defaultOptions.delayLoopMs;
  return {
    timeoutMs: pick('timeoutMs') ?? defaultOptions.timeoutMs,
    retry: pick('retry') ?? defaultOptions.retry,
    delayBeforeRetryMs: pick('delayBeforeRetryMs') ?? defaultOptions.delayBeforeRetryMs,
    delayLoopMs,
    warmupMs: pick('warmupMs') ?? delayLoopMs,
    ...(pick('alpha') === true ? { alpha: true } : {}),
  };
}
