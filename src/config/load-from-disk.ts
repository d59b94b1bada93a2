// SPDX-License-Identifier: Apache-2.0
import { hostname } from 'node:os';
import { filesOnDisk } from './language/files.ts';
import { type LoadedConfiguration, loadConfiguration } from './load.ts';

/** Reads a configuration for this host, in its environment. */
export function loadFromDisk(file: string, configId: string | undefined): LoadedConfiguration {
  return loadConfiguration(file, {
    files: filesOnDisk,
    hostname: hostname(),
    configId,
    environment: (name) => process.env[name],
  });
}
