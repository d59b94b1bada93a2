// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { rarely, seldom } from './configurations.ts';
import { type BodyPlan, type FlowPlan, type FramePlan, plainShape, type ShapePlan } from './frames.ts';

export const flowPlans: fc.Arbitrary<FlowPlan> = fc.record({
  reply: rarely(3),
  service: fc.constantFrom(0, 0, 1, 1, 2, 3, 4),
  client: fc.constantFrom(0, 0, 0, 1, 2),
  clientPort: fc.constantFrom(4000, 4000, 4000, 4000, 4000, 4001, 4001, 4001, 4002, 0),
  server: fc.nat(4),
  stray: rarely(10),
});

/** SYN, ACK, SYN-ACK, data, FIN-ACK, RST, and some that no one sends. */
const flagPlans = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(2, 2, 2, 16, 16, 16, 18, 24, 17, 4, 20) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const lengths = fc.oneof(
  { weight: 8, arbitrary: fc.nat(40) },
  { weight: 1, arbitrary: fc.constantFrom(1200, 1240, 1440, 1460, 1500, 1900) },
);

/** Behind a SYN with the number 1000 and what follows it in `talks`, near that, and far from it. */
const sequencePlans = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(1000, 1001, 1001, 1001, 1004, 1005, 1007, 1041) },
  { weight: 2, arbitrary: fc.nat(80).map((offset) => 970 + offset) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(60_000, 66_500, 66_537, 66_538, 70_000, 0x8000_0000, 0xffff_0000, 0xffff_ffff),
  },
);

const segmentPlans = fc.record({
  sort: fc.constant('segment' as const),
  flags: flagPlans,
  length: lengths,
  otherProtocol: rarely(12),
  checksum: rarely(5).map((no) => !no),
  lengthError: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, -9),
  sequence: sequencePlans,
  acknowledgement: sequencePlans,
});
const icmpPlans = fc.record({
  sort: fc.constant('icmp' as const),
  type: fc.constantFrom(8, 128, 8, 128, 0, 129, 13, 133, 136),
  code: fc.constantFrom(0, 0, 0, 1),
  length: lengths,
});
const otherPlans = fc.record({
  sort: fc.constant('other' as const),
  protocol: fc.constantFrom(47, 50, 112, 132, 58, 1, 59),
  length: fc.nat(40),
});
const errorPlans = fc.record({
  sort: fc.constant('error' as const),
  type: fc.constantFrom(3, 3, 11, 12, 4, 5, 1, 1, 2, 127),
  code: fc.nat(4),
  otherProtocol: rarely(8),
  quoted: fc.constantFrom(1000, 1000, 28, 48, 60, 27, 47, 20, 0),
  router: fc.nat(1),
});
const arpPlans = fc.record({
  sort: fc.constant('arp' as const),
  operation: fc.constantFrom(1, 1, 1, 2, 0),
  own: rarely(5),
  gateway: rarely(4),
});
const solicitationPlans = fc.record({
  sort: fc.constant('solicitation' as const),
  group: fc.boolean(),
  detection: rarely(4),
  option: fc.nat(4),
});

const bodyPlans: fc.Arbitrary<BodyPlan> = fc.oneof(
  { weight: 20, arbitrary: segmentPlans },
  { weight: 4, arbitrary: errorPlans },
  { weight: 1, arbitrary: icmpPlans },
  { weight: 1, arbitrary: arpPlans },
  { weight: 1, arbitrary: solicitationPlans },
  { weight: 1, arbitrary: otherPlans },
);

const bends = fc.array(fc.record({ at: fc.integer({ min: 12, max: 110 }), bit: fc.nat(7) }), { maxLength: 3 });
const oddShapes: fc.Arbitrary<ShapePlan> = fc.record({
  ttl: fc.constantFrom(64, 64, 64, 64, 64, 255, 2, 1, 0),
  dontFragment: fc.boolean(),
  extras: mostly(4, [], fc.array(fc.nat(9), { maxLength: 9 })),
  piece: seldom(
    4,
    fc.record({
      name: fc.nat(1),
      from: fc.constantFrom(0, 0, 0, 1, 2, 3, 8, 8191),
      units: fc.constantFrom(1, 2, 3, 8, 300),
      odd: fc.constantFrom(0, 0, 0, 3),
      more: fc.boolean(),
    }),
  ),
  source: seldom(6, fc.nat(7)),
  mac: mostly(5, 0, fc.integer({ min: 1, max: 4 })),
  tag: mostly(12, 0, fc.constantFrom(0x8100, 0x88a8)),
  bends: mostly(3, [], bends),
  repair: fc.boolean(),
  cut: mostly(6, 0, fc.nat(120)),
  padding: fc.constantFrom(0, 0, 0, 6, 18),
});

const framePlan = (flow: fc.Arbitrary<FlowPlan>, body: fc.Arbitrary<BodyPlan>, shape: fc.Arbitrary<ShapePlan>) =>
  fc
    .record({ flow, body, shape, otherSide: rarely(15) })
    .map(({ otherSide, ...plan }): FramePlan => ({ side: sideOf(plan.flow, otherSide), ...plan }));

/** One frame, mostly plain. */
export const framePlans: fc.Arbitrary<FramePlan> = framePlan(
  flowPlans,
  bodyPlans,
  fc.oneof({ weight: 3, arbitrary: fc.constant(plainShape) }, { weight: 1, arbitrary: oddShapes }),
);

/** The course of a connection: SYN, ACK, data, the real server's answers, its end. */
const talks = [
  ['> 2'],
  ['> 2', '> 16'],
  ['> 2', '< 18', '> 16'],
  ['> 2', '< 18', '> 16', '> 24', '< 16'],
  ['> 2', '> 16', '> 17', '< 17', '> 16'],
  ['> 2', '< 18', '> 16', '< 17', '> 17', '< 16'],
  ['> 2', '> 16', '> 4'],
  ['> 2', '> 16', '> 17', '> 24', '> 4', '> 24', '> 4'],
  ['> 2', '< 20'],
] as const;

/** Frames of some connections one after the other, from neighbouring ports. */
export const conversations: fc.Arbitrary<readonly FramePlan[]> = fc
  .record({ flow: flowPlans, talk: fc.nat(talks.length - 1), count: fc.constantFrom(1, 1, 1, 2, 5) })
  .map(({ flow, talk, count }) =>
    Array.from({ length: count }, (_, i) => {
      let next = 1000;
      return talks[talk]!.map((line) => {
        const own = { ...flow, reply: line.startsWith('<'), clientPort: flow.clientPort + i };
        const flags = Number(line.slice(2));
        const body = {
          sort: 'segment',
          flags,
          length: 3,
          otherProtocol: false,
          checksum: true,
          lengthError: 0,
          sequence: own.reply ? 500 : next,
          acknowledgement: own.reply ? next : 501,
        } as const;
        // SYN and FIN take a number each.
        if (!own.reply) next += 3 + (flags & 1) + ((flags >> 1) & 1);
        return { side: sideOf(own, false), flow: own, body, shape: plainShape };
      });
    }).flat(),
  );

/** The pieces of a datagram in some order, perhaps twice, perhaps one that does not fit. */
export const piecesOfOne: fc.Arbitrary<readonly FramePlan[]> = fc
  .record({
    flow: flowPlans,
    name: fc.nat(2),
    order: fc.array(fc.constantFrom(0, 0, 1, 2), { minLength: 2, maxLength: 4 }),
    odd: seldom(6, fc.record({ from: fc.nat(12), units: fc.integer({ min: 1, max: 6 }), more: fc.boolean() })),
    length: fc.constantFrom(64, 70, 82),
  })
  .map(({ flow, name, order, odd, length }) => {
    const body = { sort: 'segment', flags: 2, length, otherProtocol: false, checksum: true, lengthError: 0 } as const;
    const cuts = [
      { from: 0, units: 3, more: true },
      { from: 3, units: 3, more: true },
      { from: 6, units: 20, more: false },
    ];
    const pieces = [...order.map((index) => cuts[index]!), ...(odd === undefined ? [] : [odd])];
    return pieces.map((piece) => ({
      side: sideOf(flow, false),
      flow,
      body,
      shape: { ...plainShape, dontFragment: false, piece: { ...piece, name, odd: 0 } },
    }));
  });

function sideOf(flow: FlowPlan, otherSide: boolean): 'clients' | 'servers' {
  return flow.reply === otherSide ? 'clients' : 'servers';
}

/** Another value once in so many times. */
function mostly<Value>(times: number, value: Value, others: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: others });
}
