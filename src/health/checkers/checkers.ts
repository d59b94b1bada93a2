// SPDX-License-Identifier: Apache-2.0
import type { DiagnosticCollector } from '../../config/language/diagnostic.ts';
import type { Statement } from '../../config/language/parser.ts';
import type { HealthCheck } from '../../model/configuration.ts';
import { type CheckOptions, completeTiming } from './check-options.ts';
import type { CheckPorts } from './check-ports.ts';
import type { CheckedEndpoint, Checker } from './checker.ts';
import { tcpCheck } from './tcp-check.ts';

/** All checkers. `object` is sound: a checker is only given parameters that it has read itself. */
const checkers: readonly Checker<object>[] = [tcpCheck];

const checkersByKeyword: ReadonlyMap<string, Checker<object>> = new Map(
  checkers.map((checker) => [checker.keyword, checker]),
);

/** A check as written: `outer` are the options of the blocks around it, the nearest first. */
export type CompleteCheck = (realServer: CheckedEndpoint, outer: readonly CheckOptions[]) => HealthCheck;

/** The readers of all checkers' blocks, by keyword: each check is added to `checks`. */
export function checkerReaders(checks: CompleteCheck[], diagnostics: DiagnosticCollector) {
  return Object.fromEntries(
    checkers.map((checker) => [
      checker.keyword,
      (statement: Statement) => {
        const { options, complete } = checker.read(statement, diagnostics);
        checks.push((realServer, outer) => ({
          checker: checker.keyword,
          parameters: complete(realServer),
          ...completeTiming([options, ...outer]),
        }));
      },
    ]),
  );
}

/** Equal for two checks that check the same thing in the same way. */
export function identifyCheck(check: HealthCheck): string {
  return `${check.checker} ${checkerOf(check).identify(check.parameters)}`;
}

/** Makes one attempt. Resolves with the reason why it failed, or undefined. Never rejects. */
export function attemptCheck(check: HealthCheck, ports: CheckPorts): Promise<string | undefined> {
  return checkerOf(check).attempt(check.parameters, check.timeoutMs, ports);
}

function checkerOf({ checker: keyword }: HealthCheck): Checker<object> {
  const checker = checkersByKeyword.get(keyword);
  if (checker === undefined) throw new RangeError(`there is no checker ${keyword}`);
  return checker;
}
