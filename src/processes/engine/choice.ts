// SPDX-License-Identifier: Apache-2.0
import type { EngineRequest } from '../../engine/engine.ts';
import { probeXdp } from '../../platform/linux/bpf/probe.ts';
import { interfaceFacts } from '../../platform/linux/netlink/interface-facts.ts';

export interface EngineChoice {
  readonly kind: 'xdp' | 'portable';
  /** Why the other engine was not chosen, or a caution about this one. */
  readonly reason?: string;
}

/** Throws a sentence when `xdp` was asked for and cannot be. */
export function chooseEngine(request: EngineRequest, interfaces: readonly string[]): EngineChoice {
  if (request === 'portable') return { kind: 'portable' };
  const usability = probeXdp();
  if (!usability.usable) {
    if (request === 'xdp') throw new Error(`the xdp engine cannot be used: ${usability.reason}`);
    return { kind: 'portable', reason: `the portable engine is used, because of the xdp engine: ${usability.reason}` };
  }
  const virtual = interfaces.find((name) => interfaceFacts(name).kind === 'veth');
  if (virtual === undefined) return { kind: 'xdp' };
  // A frame sent by XDP over a veth arrives only if the other end has a program too, and its checksum may be
  // unfinished.
  const caution = `${virtual} is a veth, over which XDP works only when its other end has an XDP program and finished checksums`;
  if (request === 'xdp') return { kind: 'xdp', reason: caution };
  return { kind: 'portable', reason: `the portable engine is used: ${caution}; --engine xdp uses it all the same` };
}
