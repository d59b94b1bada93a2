// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';

const contestantNames = ['baton', 'keepalived', 'keepalived-rt'] as const;

export type ContestantName = (typeof contestantNames)[number];

export interface ElectionOptions {
  /** In the order in which they take turns. */
  readonly contestants: readonly ContestantName[];
  /** Virtual addresses of the virtual router. */
  readonly addresses: number;
  readonly intervalMs: number;
  /** How long each run is watched. */
  readonly seconds: number;
  /** Endless loops on each processor. */
  readonly busy: number;
  /** Advertisements a second of a third host whose priority is lower. */
  readonly rival: number;
  readonly rounds: number;
}

/** As many addresses as one advertisement counts, and the longest interval that it can name (RFC 9568 section 5.2). */
const addressesMax = 255;
const intervalMsMax = 40_950;

/** Reads the arguments after `election`. Throws an error whose message is a sentence for a person. */
export function parseElectionOptions(args: readonly string[]): ElectionOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      contestants: { ...text, default: 'baton,keepalived' },
      addresses: { ...text, default: '255' },
      interval: { ...text, default: '0.1' },
      seconds: { ...text, default: '20' },
      busy: { ...text, default: '1' },
      rival: { ...text, default: '0' },
      rounds: { ...text, default: '3' },
    },
  });
  return {
    contestants: readContestants(values.contestants),
    addresses: readWhole('addresses', values.addresses, 1, addressesMax),
    intervalMs: readInterval(values.interval),
    seconds: readWhole('seconds', values.seconds, 1, 86_400),
    busy: readWhole('busy', values.busy, 0, 100),
    rival: readWhole('rival', values.rival, 0, 1_000_000),
    rounds: readWhole('rounds', values.rounds, 1, 1_000),
  };
}

function readContestants(list: string): ContestantName[] {
  return list.split(',').map((word) => {
    const name = contestantNames.find((each) => each === word);
    if (name === undefined) throw new Error(`--contestants takes some of ${contestantNames.join(', ')}, not ${word}`);
    return name;
  });
}

function readWhole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`--${option} takes a whole number from ${min} to ${max}, not ${text}`);
}

/** Seconds, as `advert_int` has them; an advertisement counts in hundredths. */
function readInterval(text: string): number {
  const centiseconds = Math.round(Number(text) * 100);
  const isFit = /^\d+(\.\d{1,2})?$/.test(text) && centiseconds >= 1 && centiseconds * 10 <= intervalMsMax;
  if (!isFit) throw new Error(`--interval takes seconds from 0.01 to 40.95, in hundredths, not ${text}`);
  return centiseconds * 10;
}
