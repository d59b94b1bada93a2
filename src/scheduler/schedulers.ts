// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import { type Scheduler, type SchedulerName, schedulerNames } from '../model/virtual-service.ts';
import type { Contender } from './contender.ts';
import { compileLc } from './lc.ts';
import { compileMh } from './mh.ts';
import { compileRr } from './rr.ts';
import { compileSh } from './sh.ts';
import { compileWlc } from './wlc.ts';
import { compileWrr } from './wrr.ts';

/** Makes what a data path executes from the real servers in the order of the configuration. */
export type SchedulerCompiler = (contenders: readonly Contender[], scheduler: Scheduler) => Selector;

/** Every scheduler that there is. */
const compilers: Partial<Record<SchedulerName, SchedulerCompiler>> = {
  rr: compileRr,
  wrr: compileWrr,
  lc: compileLc,
  wlc: compileWlc,
  sh: compileSh,
  mh: compileMh,
};

/** In the order of `schedulerNames`. */
export const supportedSchedulers: readonly SchedulerName[] = schedulerNames.filter((name) => name in compilers);

/** `undefined` for a scheduler that is not in `supportedSchedulers`. */
export function compilerOf(name: SchedulerName): SchedulerCompiler | undefined {
  return compilers[name];
}
