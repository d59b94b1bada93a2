// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { formatDiagnostic } from '../../../src/config/language/diagnostic.ts';
import type { ConfigurationFiles } from '../../../src/config/language/files.ts';
import { type LoadedConfiguration, type LoadOptions, loadConfiguration } from '../../../src/config/load.ts';
import { accept, reject } from '../../../src/lib/result.ts';
import type { Configuration } from '../../../src/model/configuration.ts';

/** A disk that holds these files and nothing else. */
export function inMemory(files: Readonly<Record<string, string | Uint8Array>>): ConfigurationFiles {
  return {
    readFile: (path) => {
      const name = posix.normalize(path);
      const content = Object.hasOwn(files, name) ? files[name] : undefined;
      if (content === undefined) return reject('does not exist');
      return accept(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    },
    listDirectory: (path) => {
      const prefix = path === '.' ? '' : `${path}/`;
      const below = Object.keys(files).filter((name) => name.startsWith(prefix) && name !== prefix);
      const names = below.map((name) => name.slice(prefix.length).split('/')[0] ?? '');
      return below.length === 0 ? undefined : [...new Set(names)];
    },
  };
}

/** Loads `pair.conf` from the text, or from several files of which it is one. */
export function load(
  text: string | Uint8Array | Readonly<Record<string, string | Uint8Array>>,
  options: Partial<LoadOptions> = {},
): LoadedConfiguration {
  const files = typeof text === 'string' || text instanceof Uint8Array ? { 'pair.conf': text } : text;
  return loadConfiguration('pair.conf', { files: inMemory(files), hostname: 'alpha.example', ...options });
}

/** The output of `baton check`, line by line. */
export function report(...given: Parameters<typeof load>): string[] {
  return load(...given).diagnostics.map(formatDiagnostic);
}

/** The configuration of a text that has no diagnostics. */
export function configurationOf(...given: Parameters<typeof load>): Configuration {
  const loaded = load(...given);
  assert.deepEqual(loaded.diagnostics.map(formatDiagnostic), []);
  assert.ok(loaded.configuration !== undefined);
  return loaded.configuration;
}

/** A vrrp_instance with the mandatory statements, followed by `lines`. The first of them is line 5. */
export function instance(lines = '', name = 'VI_1', vrid = 51, address = '192.0.2.10'): string {
  return `vrrp_instance ${name} {
interface eth0
virtual_router_id ${vrid}
virtual_ipaddress { ${address} }
${lines}
}
`;
}

/** A virtual_server with the mandatory statements, followed by `lines`. The first of them is line 6. */
export function service(lines = '', head = '192.0.2.10 80'): string {
  return `virtual_server ${head} {
protocol TCP
lvs_sched wrr
lvs_method NAT
real_server 10.0.0.1 8080 { }
${lines}
}
`;
}
