// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Compares a story with the file that holds it, a path from the repository's root. With `UPDATE_TRANSCRIPTS=1` the file
 * is rewritten instead, to be reviewed as a diff.
 */
export function assertTranscript(story: string, path: string): void {
  if (process.env.UPDATE_TRANSCRIPTS === '1') writeFileSync(path, story);
  assert.equal(story, readFileSync(path, 'utf8'));
}
