// SPDX-License-Identifier: Apache-2.0
import { ratio, render } from '../report.ts';
import type { ElectionOptions } from './options.ts';
import type { Timeliness } from './timeliness.ts';

export interface ElectionFigures extends Timeliness {
  /** Changes of state that the two directors have logged. */
  readonly logged: number;
  /** As many as the better director's advertisements say that they list. */
  readonly addresses: number;
  /** The rival's advertisements that came, a second. */
  readonly rivalPerSecond: number;
}

/** One row for each contestant, with the ranges of its figures over all rounds. */
export function electionTable(
  { addresses, intervalMs, seconds, busy, rival }: ElectionOptions,
  results: ReadonlyMap<string, readonly ElectionFigures[]>,
): string {
  const rows = [...results].map(([name, rounds]) => {
    const whole = (figure: (figures: ElectionFigures) => number): string => range(rounds.map(figure), 0);
    return [
      name,
      whole((figures) => figures.addresses),
      whole((figures) => figures.advertisements),
      whole((figures) => figures.longestGapMs),
      range(
        rounds.map((figures) => figures.longestGapMs / intervalMs),
        2,
      ),
      ratio(results, name, 'keepalived', (figures) => figures.longestGapMs),
      whole((figures) => figures.over1_5),
      whole((figures) => figures.over2),
      whole((figures) => figures.changes),
      whole((figures) => figures.logged),
      whole((figures) => figures.foreign),
      ...(rival === 0 ? [] : [whole((figures) => figures.rivalPerSecond)]),
    ];
  });
  const head = [
    '',
    'addresses',
    'advertisements',
    'longest gap ms',
    'intervals',
    '× keepalived',
    'over 1.5',
    'over 2',
    'changes',
    'logged',
    'by the backup',
    ...(rival === 0 ? [] : ['the rival’s a second']),
  ];
  const load = busy === 0 ? 'idle processors' : `${counted(busy, 'busy loop')} on each processor`;
  const storm = rival === 0 ? '' : `, a rival ${rival} times a second`;
  const title = `${counted(addresses, 'address', 'addresses')}, advert_int ${intervalMs / 1000}, ${seconds} s, ${load}${storm}`;
  return render(title, head, rows);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function range(values: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...values).toFixed(digits), Math.max(...values).toFixed(digits)];
  return least === most ? least : `${least}–${most}`;
}
