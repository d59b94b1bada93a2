// SPDX-License-Identifier: Apache-2.0
import { nameThread } from '../platform/linux/process/thread-name.ts';
import { type EngineThreadSettings, runEngine } from './engine/portable-thread.ts';
import { runSync, type SyncThreadSettings } from './sync/thread.ts';

export type ThreadSettings =
  | { readonly thread: 'engine'; readonly settings: EngineThreadSettings }
  | { readonly thread: 'sync'; readonly settings: SyncThreadSettings };

/** Runs the thread that the worker's settings name. */
export function runThread(settings: ThreadSettings): void {
  nameThread(`baton-${settings.thread}`);
  if (settings.thread === 'engine') runEngine(settings.settings);
  else runSync(settings.settings);
}
