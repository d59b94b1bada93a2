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
   * By real server: 1 when a template may still lead to it. That includes a quiesced real server, as in IPVS without
   * expire_quiescent_template, but not one that its health checks have taken out.
   */
  available: Uint8Array;
  /** The virtual address in four words. */
  readonly addressWords: Int32Array;
  /** The counter that walks a `sequence`. */
  cursor: number;
  /** The traffic of real servers that have left the configuration. */
  readonly retiredTraffic: Float64Array;
}
