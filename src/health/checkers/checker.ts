// SPDX-License-Identifier: Apache-2.0
import type { DiagnosticCollector } from '../../config/language/diagnostic.ts';
import type { Statement } from '../../config/language/parser.ts';
import type { RealServer } from '../../model/virtual-service.ts';
import type { CheckOptions } from './check-options.ts';
import type { CheckPorts } from './check-ports.ts';

/** The address and port that a checker checks unless its block names others: the real server's own. */
export type CheckedEndpoint = Pick<RealServer, 'address' | 'port'>;

/** The block of a checker as written. */
export interface CheckStatement<Parameters extends object> {
  readonly options: CheckOptions;
  /**
   * The checker's own parameters: the real server's address and port take the place of those that the block leaves out.
   */
  readonly complete: (realServer: CheckedEndpoint) => Parameters;
}

/** One kind of check. Its parameters are plain data, which only the checker itself interprets. */
export interface Checker<Parameters extends object> {
  /** The name of its block in a real_server, as keepalived has it. */
  readonly keyword: string;
  read(statement: Statement, diagnostics: DiagnosticCollector): CheckStatement<Parameters>;
  /** Names what is checked, in words for people. A check keeps its verdict over a reload while this stays the same. */
  identify(parameters: Parameters): string;
  /** Checks once. Resolves with the reason why it failed, or undefined when it succeeded. Never rejects. */
  attempt(parameters: Parameters, timeoutMs: number, ports: CheckPorts): Promise<string | undefined>;
}
