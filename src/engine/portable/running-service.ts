// SPDX-License-Identifier: Apache-2.0
import type { CompiledService } from '../../model/selector.ts';

/** A virtual service as the packet path sees it. It lives through reconfigurations that keep its name. */
export interface RunningService {
  readonly name: string;
  compiled: CompiledService;
  leaseSlot: number;
  /** Destination numbers, in the order of `VirtualService.realServers`. */
  destinations: Int32Array;
  /**
   * 1 by real server: a template may still lead to it. Not for one that its health checks took out; for a quiesced one
   * yes, as in IPVS without expire_quiescent_template.
   */
  available: Uint8Array;
  /** The virtual address in four words. */
  readonly addressWords: Int32Array;
  /** The counter that walks a `sequence`. */
  cursor: number;
  /** What real servers that have left the configuration had counted. */
  readonly retiredTraffic: Float64Array;
}
