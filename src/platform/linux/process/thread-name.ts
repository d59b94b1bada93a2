// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';

/** Names the calling thread for `top -H` and `ps -L`: at most 15 characters. */
export function nameThread(name: string): void {
  try {
    writeFileSync('/proc/thread-self/comm', name);
  } catch {
    // Only people read it.
  }
}
