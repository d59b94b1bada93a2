// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import {
  type ConnectionEvent,
  packHead,
  RecordOffset,
  recordWords,
  writeAddressWords,
} from '../../src/model/connection-batch.ts';
import { type ForwardingMethod, forwardingMethods } from '../../src/model/forwarding-method.ts';
import { protocolNumbers } from '../../src/model/virtual-service.ts';
import type { EngineLimits, PublisherState } from '../contract/engine-under-test.ts';
import { type ConfigurationPlan, configurationPlans, leaseSlots, rarely } from './configurations.ts';
import { conversations, flowPlans, framePlans, piecesOfOne } from './frame-plans.ts';
import { endsOf, type FlowPlan, type FramePlan } from './frames.ts';

export type Step =
  | { readonly do: 'frame'; readonly plan: FramePlan }
  | { readonly do: 'configure'; readonly plan: ConfigurationPlan }
  /** Seconds go by, and the engine sweeps in each of them. */
  | { readonly do: 'seconds'; readonly count: number }
  /** Less than a second goes by without a sweep. */
  | { readonly do: 'milliseconds'; readonly count: number }
  | { readonly do: 'lease'; readonly slot: number; readonly forMs: number }
  | { readonly do: 'import'; readonly records: readonly RecordPlan[] }
  | { readonly do: 'reachable'; readonly address: number; readonly host: number; readonly is: boolean }
  | { readonly do: 'mtu'; readonly side: 'clients' | 'servers'; readonly mtu: number }
  | { readonly do: 'publisher'; readonly is: PublisherState }
  | { readonly do: 'peer'; readonly heard: boolean };

/** A record of a peer in few words. */
export interface RecordPlan {
  readonly event: number;
  readonly flow: FlowPlan;
  readonly otherProtocol: boolean;
  readonly state: number;
  readonly template: boolean;
  readonly method: ForwardingMethod;
  readonly local: boolean;
  readonly secondClass?: boolean;
  readonly idleMs: number;
  readonly timeoutMs: number;
  /** Words that are overwritten. */
  readonly bends: readonly { readonly at: number; readonly word: number }[];
}

export interface Story {
  readonly limits: number;
  readonly configuration: ConfigurationPlan;
  readonly steps: readonly Step[];
}

/**
 * Limits of the tables: room for all entries, for hardly any, and for few of one kind. When half of the ring is holes, XDP
 * makes its oldest entries the youngest, where the portable engine keeps them in order: here the ring is longer than any
 * story fills it. In a table of four buckets all choices of a flow may be the same bucket, which is full before the table.
 */
export const limitsOf: readonly EngineLimits[] = [
  { halfOpenMax: 64, establishedMax: 64, ringSize: 1024 },
  { halfOpenMax: 3, establishedMax: 4, ringSize: 1024, buckets: 64 },
  { halfOpenMax: 12, establishedMax: 5, ringSize: 1024, buckets: 64 },
];

export function recordsOf(plans: readonly RecordPlan[], configuration: ConfigurationPlan): Int32Array {
  const words = new Int32Array(plans.length * recordWords);
  for (const [index, plan] of plans.entries()) writeRecord(words, index * recordWords, plan, configuration);
  return words;
}

function writeRecord(words: Int32Array, at: number, plan: RecordPlan, configuration: ConfigurationPlan): void {
  const { family, udp, client, virtual, server } = endsOf(plan.flow, configuration);
  words[at + RecordOffset.head] = packHead({
    event: plan.event as ConnectionEvent,
    protocol: udp === plan.otherProtocol ? protocolNumbers.tcp : protocolNumbers.udp,
    state: plan.state,
    family,
    local: plan.local,
    forwardingMethod: forwardingMethods[plan.method].number,
    template: plan.template,
    secondClass: plan.secondClass === true,
  });
  words[at + RecordOffset.ports] = ((plan.template ? 0 : client.port) << 16) | virtual.port;
  words[at + RecordOffset.realPort] = server.port;
  words[at + RecordOffset.idleMs] = plan.idleMs;
  words[at + RecordOffset.timeoutMs] = plan.timeoutMs;
  writeAddressWords(words, at + RecordOffset.clientAddress, client.address as IpAddress);
  if (plan.template) maskAddress(words, at + RecordOffset.clientAddress, family);
  writeAddressWords(words, at + RecordOffset.virtualAddress, virtual.address as IpAddress);
  writeAddressWords(words, at + RecordOffset.realAddress, server.address as IpAddress);
  for (const { at: offset, word } of plan.bends) words[at + offset] = word;
}

const methods: readonly ForwardingMethod[] = ['masquerade', 'masquerade', 'direct-route'];

/** The prefix of 24, in IPv6 of 64 bits: one of those that services have. */
function maskAddress(words: Int32Array, at: number, family: 'ipv4' | 'ipv6'): void {
  if (family === 'ipv4') words[at]! &= 0xffff_ff00;
  else words.fill(0, at + 2, at + 4);
}

const recordPlans: fc.Arbitrary<RecordPlan> = fc.record({
  event: fc.constantFrom(1, 1, 1, 2, 3),
  flow: flowPlans,
  otherProtocol: rarely(10),
  state: fc.constantFrom(1, 1, 1, 0, 3, 4, 5, 6, 7, 8, 10),
  template: rarely(5),
  method: fc.constantFrom(...methods, ...methods, 'tunnel'),
  local: fc.boolean(),
  secondClass: fc.boolean(),
  idleMs: fc.constantFrom(0, 0, 500, 4_000, 30_000, -5),
  timeoutMs: fc.constantFrom(20_000, 0, 3_000, -1, 2_000_000_000),
  bends: fc.oneof(
    { weight: 8, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.record({ at: fc.nat(recordWords - 1), word: fc.integer() }), { maxLength: 2 }),
    },
  ),
});

const rareSteps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('configure' as const), plan: configurationPlans }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('seconds' as const), count: fc.constantFrom(1, 1, 2, 3, 5, 9, 12, 31, 62) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('milliseconds' as const), count: fc.integer({ min: 1, max: 999 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('lease' as const),
      slot: fc.constantFrom(...leaseSlots),
      forMs: fc.constantFrom(0, 700, 3_000, 3_600_000, 3_600_000, 3_600_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('import' as const),
      records: fc.array(recordPlans, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reachable' as const),
      address: fc.constantFrom(0, 2),
      host: fc.nat(2),
      is: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('mtu' as const),
      side: fc.constantFrom('clients' as const, 'servers' as const),
      mtu: fc.constantFrom(1500, 1300, 1280),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('publisher' as const),
      is: fc.constantFrom('none', 'prompt', 'prompt', 'late', 'late', 'gone', 'deferring'),
    }) as fc.Arbitrary<Step>,
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('peer' as const), heard: fc.boolean() }) },
);

const asSteps = (plans: readonly FramePlan[]): Step[] => plans.map((plan) => ({ do: 'frame', plan }));

const scenes: fc.Arbitrary<readonly Step[]> = fc.oneof(
  { weight: 8, arbitrary: framePlans.map((plan) => asSteps([plan])) },
  { weight: 3, arbitrary: conversations.map(asSteps) },
  { weight: 1, arbitrary: piecesOfOne.map(asSteps) },
  { weight: 3, arbitrary: rareSteps.map((step) => [step]) },
);

export const stories: fc.Arbitrary<Story> = fc.record({
  limits: fc.constantFrom(0, 0, 1, 2),
  configuration: configurationPlans,
  steps: fc.array(scenes, { minLength: 1, maxLength: 40, size: 'max' }).map((list) => list.flat()),
});
