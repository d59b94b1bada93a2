// SPDX-License-Identifier: Apache-2.0
import { type Scheduler, type SchedulerName, schedulerNames } from '../model/virtual-service.ts';
import { supportedSchedulers } from '../scheduler/schedulers.ts';
import { quote } from './language/block-reader.ts';
import type { DiagnosticCollector } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import { nearest } from './language/spelling.ts';

/** The scheduler's flags may follow its name, in the words of `ipvsadm -b`. */
export function readSchedulerName(
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
  if (!supportedSchedulers.includes(name)) {
    diagnostics.error(
      word.span,
      `the scheduler ${name} is not supported yet: choose one of ${supportedSchedulers.join(', ')}`,
    );
    return undefined;
  }
  return name;
}

export const noFlags = { hashPort: false, fallback: false };

/** sh and mh share flag-1 (fallback) and flag-2 (port) (uapi ip_vs.h, IP_VS_SVC_F_SCHED_SH_* and _MH_*). */
export function schedulerFlags(
  scheduler: SchedulerName,
  words: readonly Word[],
  diagnostics: DiagnosticCollector,
): Pick<Scheduler, 'hashPort' | 'fallback'> {
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
