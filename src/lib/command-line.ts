// SPDX-License-Identifier: Apache-2.0
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { errorSentence } from './error-sentence.ts';

/** Wrong usage: the message is printed as it is, and the exit code is 2. */
export class UsageError extends Error {}

export const ExitCode = { done: 0, failed: 1, usage: 2 } as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

type Options = NonNullable<ParseArgsConfig['options']>;

/** Strict option parsing. Throws a `UsageError` that points to `baton --help` for an argument that does not fit. */
export function parseOptions<const Given extends Options>(command: string, args: readonly string[], options: Given) {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`baton ${command}: ${errorSentence(error).split(/\.\s/)[0]}; see baton --help`);
  }
}
