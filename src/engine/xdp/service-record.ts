// SPDX-License-Identifier: Apache-2.0
import { roundsBetweenTouches } from '../../connection/template-touches.ts';
import type { CompiledService, Overhead } from '../../model/selector.ts';
import { ServiceFlag } from './layout/enums.ts';
import { OverheadLayout, ServiceLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';
import { shapeOf } from './selectors.ts';
import { sweepPeriodMs } from './sweep.ts';

const noOverhead: Overhead = { active: 0, inactive: 0, constant: 0 };

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
  const templateRounds = persistence === undefined ? 1 : roundsBetweenTouches(persistence, sweepPeriodMs);
  records.writeWord(number, ServiceLayout.templateRounds, templateRounds);
  records.writeByte(number, ServiceLayout.shape, shapeOf(selector));
  writeOverhead(records, number, selector.shape === 'least' ? selector.overhead : noOverhead);
  const flags =
    ServiceFlag.live |
    (selector.shape === 'hash' && selector.hashPort ? ServiceFlag.hashPort : 0) |
    (scheduler.fallback ? ServiceFlag.fallback : 0) |
    (onePacket === true ? ServiceFlag.onePacket : 0) |
    (persistence === undefined ? 0 : ServiceFlag.persistent);
  records.writeByte(number, ServiceLayout.flags, flags);
}

function writeOverhead(records: MappedArray, number: number, { active, inactive, constant }: Overhead): void {
  records.writeHalf(number, ServiceLayout.overhead + OverheadLayout.active, active);
  records.writeHalf(number, ServiceLayout.overhead + OverheadLayout.inactive, inactive);
  records.writeHalf(number, ServiceLayout.overhead + OverheadLayout.constant, constant);
}
