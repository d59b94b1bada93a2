// SPDX-License-Identifier: Apache-2.0
import { readStatements } from './language/block-reader.ts';
import type { DiagnosticCollector, Span } from './language/diagnostic.ts';
import type { Statement } from './language/parser.ts';
import { readSeconds, readSwitch } from './language/values.ts';

/** The block `baton`: settings that keepalived does not have. */
export interface OwnSettings {
  preemptWithoutSync: { readonly span: Span; readonly ms: number } | undefined;
  maxAdoptedIntervalMs: number | undefined;
  trackRoutes: boolean;
  sloppyTcp: boolean | undefined;
  /** Where it is switched on; undefined: nowhere. */
  defer: Span | undefined;
}

/** A day. */
const preemptWithoutSyncRange = { min: 0, max: 86_400 };
/** What an advertisement of version 3 can say. */
const maxAdoptedIntervalRange = { min: 0.01, max: 40.95 };

export function initialOwnSettings(): OwnSettings {
  return {
    preemptWithoutSync: undefined,
    maxAdoptedIntervalMs: undefined,
    trackRoutes: true,
    sloppyTcp: undefined,
    defer: undefined,
  };
}

/** Reads one `baton` block into `settings`; several blocks add up. */
export function readOwnSettings(block: Statement, settings: OwnSettings, diagnostics: DiagnosticCollector): void {
  readStatements(
    block.block?.statements ?? [],
    'baton',
    {
      preempt_without_sync: (statement) => {
        const ms = readSeconds(statement, preemptWithoutSyncRange, diagnostics);
        if (ms !== undefined) settings.preemptWithoutSync = { span: statement.keyword.span, ms };
      },
      defer: (statement) => {
        settings.defer = readSwitch(statement, diagnostics) === true ? statement.keyword.span : undefined;
      },
      max_adopted_interval: (statement) => {
        settings.maxAdoptedIntervalMs = readSeconds(statement, maxAdoptedIntervalRange, diagnostics);
      },
      track_routes: (statement) => {
        settings.trackRoutes = readSwitch(statement, diagnostics) ?? settings.trackRoutes;
      },
      sloppy_tcp: (statement) => {
        settings.sloppyTcp = readSwitch(statement, diagnostics) ?? settings.sloppyTcp;
      },
    },
    diagnostics,
  );
}
