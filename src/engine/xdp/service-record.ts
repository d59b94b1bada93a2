// SPDX-License-Identifier: Apache-2.0
import type { CompiledService } from '../../model/selector.ts';
import type { Persistence } from '../../model/virtual-service.ts';
import { ServiceFlag } from './layout/enums.ts';
import { ServiceLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';
import { shapeOf } from './selectors.ts';
import { sweepPeriodMs } from './sweep.ts';

/** A connection template is looked after this many times in its timeout while connections of it live. */
const touchesPerTimeout = 4;

/** What of `struct service` the configuration says, apart from its slots. `leaseSlot` as the program has it. */
export function writeServiceTerms(
  records: MappedArray,
  number: number,
  { service, selector }: CompiledService,
  leaseSlot: number,
): void {
  const { persistence, scheduler, onePacket } = service;
  records.writeHalf(number, ServiceLayout.leaseSlot, leaseSlot);
  records.writeWord(number, ServiceLayout.seed, selector.shape === 'hash' ? selector.seed : 0);
  records.writeWord(number, ServiceLayout.persistenceTimeout, persistence?.timeoutMs ?? 0);
  records.writeByte(number, ServiceLayout.prefixLength, persistence?.prefixLength ?? 0);
  records.writeWord(number, ServiceLayout.templateRounds, persistence === undefined ? 1 : roundsBetween(persistence));
  records.writeByte(number, ServiceLayout.shape, shapeOf(selector));
  const flags =
    ServiceFlag.live |
    (selector.shape === 'hash' && selector.hashPort ? ServiceFlag.hashPort : 0) |
    (scheduler.fallback ? ServiceFlag.fallback : 0) |
    (onePacket === true ? ServiceFlag.onePacket : 0) |
    (persistence === undefined ? 0 : ServiceFlag.persistent);
  records.writeByte(number, ServiceLayout.flags, flags);
}

/** Every how many rounds of the sweep a connection has to look after its template. */
function roundsBetween({ timeoutMs }: Persistence): number {
  return Math.max(1, Math.floor(timeoutMs / touchesPerTimeout / sweepPeriodMs));
}
