// SPDX-License-Identifier: Apache-2.0
import type { CompiledService } from '../model/selector.ts';
import { type VirtualService, virtualServiceName } from '../model/virtual-service.ts';
import { contendersOf } from './contender.ts';
import { compilerOf, supportedSchedulers } from './schedulers.ts';

/**
 * Compiles a virtual service into what a data path executes. The weights in `service` are those in effect; `isAlive`
 * says by index into `service.realServers` which of them health checks left in. Real servers keep their indexes, and
 * those that are out keep their place in `service.realServers`, so that entries go on pointing at them.
 *
 * Unavailable real servers (not alive, or weight 0) hold no slot in any shape, except that with `sh` without
 * `sh-fallback` a quiesced one leaves `emptySlot` behind: its clients are refused, as IPVS does. The outcome depends on
 * nothing but the arguments: peers with the same configuration and health compile the same table.
 *
 * Throws a sentence for a scheduler that is not in `supportedSchedulers`.
 */
export function compileService(
  service: VirtualService,
  isAlive: (realServer: number) => boolean = () => true,
): CompiledService {
  const compile = compilerOf(service.scheduler.name);
  if (compile === undefined) throw new RangeError(unsupportedScheduler(service));
  return {
    service,
    selector: compile(contendersOf(service, isAlive), service.scheduler),
    alive: service.realServers.map((_, realServer) => isAlive(realServer)),
  };
}

function unsupportedScheduler(service: VirtualService): string {
  const known = supportedSchedulers.join(', ');
  return `virtual service ${virtualServiceName(service)}: scheduler ${service.scheduler.name} is not supported yet; use one of ${known}`;
}
