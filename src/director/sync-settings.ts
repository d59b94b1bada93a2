// SPDX-License-Identifier: Apache-2.0
import type { Configuration, SyncSettings } from '../model/configuration.ts';
import { borrowedAddresses } from '../model/virtual-router.ts';

/** The settings of connection synchronisation with what the virtual routers mean for it; undefined without any. */
export function syncSettingsOf({ sync, virtualRouters }: Configuration): SyncSettings | undefined {
  return sync && { ...sync, virtualAddresses: borrowedAddresses(virtualRouters) };
}
