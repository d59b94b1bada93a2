// SPDX-License-Identifier: Apache-2.0
import { type EngineThreadSettings, runEngine } from './engine/portable-thread.ts';
import { runSync, type SyncThreadSettings } from './sync/thread.ts';

export type ThreadSettings =
  | { readonly thread: 'engine'; readonly settings: EngineThreadSettings }
  | { readonly thread: 'sync'; readonly settings: SyncThreadSettings };

/** What a worker of the director does is in its settings. */
export function runThread(settings: ThreadSettings): void {
  if (settings.thread === 'engine') runEngine(settings.settings);
  else runSync(settings.settings);
}
