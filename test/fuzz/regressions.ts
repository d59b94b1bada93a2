// SPDX-License-Identifier: Apache-2.0
import type { ConfigurationPlan, ServicePlan } from './configurations.ts';
import { type BodyPlan, type FlowPlan, plainShape, type ShapePlan } from './frames.ts';
import type { RecordPlan, Step, Story } from './steps.ts';

/** Stories in which the engines have differed, or for which the comparison has a rule. */
export interface NamedStory {
  readonly found: string;
  readonly story: Story;
}

const service: ServicePlan = {
  address: 0,
  port: 0,
  udp: false,
  servers: [{ host: 0, port: 0, direct: false, weight: 1, upper: 0, lower: 0 }],
  selector: 'sequence',
  slots: [0],
  hashPort: false,
  fallback: false,
  alive: undefined,
  persistence: undefined,
  onePacket: false,
};
const serviceIpv6: ServicePlan = { ...service, address: 2 };
const flow: FlowPlan = { reply: false, service: 0, client: 0, clientPort: 4000, server: 0, stray: false };
const record: RecordPlan = {
  event: 1,
  flow,
  otherProtocol: false,
  state: 1,
  template: false,
  method: 'masquerade',
  local: false,
  idleMs: 0,
  timeoutMs: 20_000,
  bends: [],
};
const echo: BodyPlan = { sort: 'icmp', type: 8, code: 0, length: 0 };
const echoIpv6: BodyPlan = { ...echo, type: 128 };
const solicitation: BodyPlan = { sort: 'solicitation', group: true, detection: false, option: 0 };
const stranger: FlowPlan = { ...flow, stray: true };

function configuration(services: readonly ServicePlan[], more: Partial<ConfigurationPlan> = {}): ConfigurationPlan {
  return { services, leases: [3, 3, 3, 3], answers: [true, true, true, true], graceMs: 0, timeouts: 0, ...more };
}

function segment(flags: number, length = 0): BodyPlan {
  return { sort: 'segment', flags, length, otherProtocol: false, checksum: true, lengthError: 0 };
}

function frame(body: BodyPlan, from: Partial<FlowPlan> = {}, shape: Partial<ShapePlan> = {}): Step {
  const side = from.reply === true ? 'servers' : 'clients';
  return { do: 'frame', plan: { side, flow: { ...flow, ...from }, body, shape: { ...plainShape, ...shape } } };
}

function error(quoted: number): BodyPlan {
  return { sort: 'error', type: 3, code: 0, otherProtocol: false, quoted, router: 0 };
}

function story(services: readonly ServicePlan[], steps: readonly Step[], limits = 0): Story {
  return { limits, configuration: configuration(services), steps };
}

/** From ports that follow each other, each a SYN and an ACK. */
function handshakes(count: number): Step[] {
  const ports = Array.from({ length: count }, (_, i) => 4000 + i);
  return ports.flatMap((clientPort) => [frame(segment(2), { clientPort }), frame(segment(16), { clientPort })]);
}

export const namedStories: readonly NamedStory[] = [
  {
    found: 'an error whose quotation cannot be read was taken for one about the flow of the error before',
    story: story(
      [service],
      [frame(error(1000), { reply: true }), frame(error(27), { reply: true, server: 1, stray: true })],
    ),
  },
  {
    found: 'a grace period that a new configuration begins or ends is in force at once',
    story: story(
      [service],
      [
        { do: 'configure', plan: configuration([service], { graceMs: 2_500 }) },
        frame(segment(16)),
        { do: 'configure', plan: configuration([service]) },
        frame(segment(16)),
      ],
    ),
  },
  {
    found: 'a solicitation to a group that was sent to one station',
    story: story([serviceIpv6], [frame(solicitation, {}, { mac: 3 })]),
  },
  {
    found: 'a solicitation in one piece with a fragment header',
    story: story(
      [serviceIpv6],
      [frame(solicitation, {}, { mac: 3, piece: { name: 0, from: 0, units: 300, odd: 0, more: false } })],
    ),
  },
  {
    found: 'a solicitation to an address that is not ours, for one that is',
    story: story([serviceIpv6], [frame({ ...solicitation, group: false }, {}, { bends: [{ at: 38, bit: 0 }] })]),
  },
  {
    found: 'a template in a state that only connections have was counted as a connection that ended',
    story: story(
      [serviceIpv6],
      [
        {
          do: 'import',
          records: [
            { ...record, template: true },
            { ...record, template: true, state: 7 },
          ],
        },
      ],
    ),
  },
  {
    found: 'words of an IPv4 record behind its addresses',
    story: story(
      [service],
      [
        {
          do: 'import',
          records: [
            {
              ...record,
              bends: [
                { at: 7, word: 5 },
                { at: 10, word: 9 },
              ],
            },
          ],
        },
        frame(segment(16)),
      ],
    ),
  },
  {
    found: 'what fills a short frame up does not leave with the packet, nor with the answer',
    story: story(
      [service, serviceIpv6],
      [
        frame(segment(2), {}, { padding: 6 }),
        frame(segment(2), { service: 1 }, { padding: 18 }),
        frame(echo, stranger, { padding: 18 }),
        frame(echoIpv6, { ...stranger, service: 2 }, { padding: 18 }),
      ],
    ),
  },
  {
    found: 'a SYN ends a closed connection of a service that there is no more, and is left to the kernel',
    story: story(
      [serviceIpv6],
      [
        { do: 'import', records: [{ ...record, state: 5 }] },
        { do: 'configure', plan: configuration([service]) },
        frame(segment(2), { ...stranger, service: 2 }),
      ],
    ),
  },
  {
    found: 'a later fragment that calls itself ICMPv6, of a TCP segment',
    story: story(
      [serviceIpv6],
      [
        frame(segment(2, 64), {}, { piece: { name: 0, from: 0, units: 3, odd: 0, more: true } }),
        frame({ ...echo, length: 1200 }, {}, { piece: { name: 0, from: 8, units: 1, odd: 0, more: false } }),
      ],
    ),
  },
  {
    found: 'what a real server that comes back has counted may have been cleared away',
    story: story(
      [service],
      [
        frame(segment(2)),
        { do: 'configure', plan: configuration([{ ...service, servers: [] }]) },
        { do: 'seconds', count: 62 },
        { do: 'configure', plan: configuration([service]) },
      ],
    ),
  },
  {
    found: 'a template that nobody has looked after while the lease was away',
    story: story(
      [{ ...service, persistence: { timeoutMs: 7_900, prefix: 0 } }],
      [
        ...handshakes(1),
        { do: 'lease', slot: 3, forMs: 3_000 },
        { do: 'seconds', count: 9 },
        { do: 'lease', slot: 3, forMs: 3_600_000 },
        { do: 'seconds', count: 1 },
      ],
    ),
  },
  {
    found: 'half-open connections go in order, whoever was established meanwhile',
    story: story([service], [frame(segment(2), { clientPort: 4009 }), ...handshakes(3), ...handshakes(7)], 1),
  },
  {
    found: 'templates that wait for room in a full table',
    story: story(
      [{ ...service, persistence: { timeoutMs: 6_500, prefix: 0 } }],
      [...handshakes(5), { do: 'seconds', count: 31 }, ...handshakes(5)],
      1,
    ),
  },
];
