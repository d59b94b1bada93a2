// SPDX-License-Identifier: Apache-2.0

/**
 * The sentence of a caught error, for a log line or a reply. It need not be an `Error`: JavaScript can throw anything.
 */
export function errorSentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
