// SPDX-License-Identifier: Apache-2.0
import { probeXdp, type XdpUsability } from '../platform/linux/bpf/probe.ts';
import { ToolError } from './lab/tool.ts';
import type { DrillOptions } from './options.ts';

/** The options of a drill once its engine is chosen. */
export interface DrillSettings extends DrillOptions {
  readonly engine: 'xdp' | 'portable';
  readonly offloads: boolean;
  /** The reason why it is not the engine that `auto` prefers. */
  readonly engineReason?: string;
}

/**
 * Chooses the engine. To be called in the sandbox, whose privileges count. The lab's cables suit both engines, so
 * `auto` is not as wary of veth as a director is. Throws a ToolError when `xdp` was asked for and cannot be.
 */
export function settle(options: DrillOptions, probe: () => XdpUsability = probeXdp): DrillSettings {
  const portable = { ...options, engine: 'portable', offloads: options.offloads ?? true } as const;
  const settings = choose(options, portable, probe);
  if (settings.engine === 'xdp') return settings;
  // Tens of thousands of new connections a second leave the portable engine no time for those that it has.
  const scenarios = options.scenarios.filter((name) => name !== 'syn-flood');
  if (scenarios.length === 0) throw new ToolError('the scenario syn-flood is for the xdp engine alone');
  return { ...settings, scenarios };
}

function choose(options: DrillOptions, portable: DrillSettings, probe: () => XdpUsability): DrillSettings {
  if (options.engine === 'portable') return portable;
  if (options.offloads === true) {
    return { ...portable, engineReason: 'with --offloads on checksums are left unfinished, which XDP cannot see' };
  }
  const usability = probe();
  if (usability.usable) return { ...options, engine: 'xdp', offloads: false };
  if (options.engine === 'xdp') throw new ToolError(`the xdp engine cannot be used: ${usability.reason}`);
  return { ...portable, engineReason: usability.reason };
}
