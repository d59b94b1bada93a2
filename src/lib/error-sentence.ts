// SPDX-License-Identifier: Apache-2.0

/** What was thrown, as a sentence for a log line or a reply: JavaScript can throw anything. */
export function errorSentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
