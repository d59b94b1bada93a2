// SPDX-License-Identifier: Apache-2.0
import type { RealServer, VirtualService } from '../model/virtual-service.ts';

/** A real server as a scheduler sees it. */
export interface Contender {
  /** Index into `VirtualService.realServers`. */
  readonly realServer: number;
  readonly endpoint: Pick<RealServer, 'address' | 'port'>;
  /** 0 quiesces. */
  readonly weight: number;
  /** False when its health checks took it out. */
  readonly alive: boolean;
}

/** `isAlive` is asked by index into `service.realServers`. */
export function contendersOf(service: VirtualService, isAlive: (realServer: number) => boolean): Contender[] {
  return service.realServers.map((server, realServer) => ({
    realServer,
    endpoint: server,
    weight: server.weight,
    alive: isAlive(realServer),
  }));
}

/** May be given connections that are not yet there. */
export function isAvailable(contender: Contender): boolean {
  return contender.alive && contender.weight > 0;
}
