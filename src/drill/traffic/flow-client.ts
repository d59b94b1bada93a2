// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import { emitMessage, type Message, messageLength, parseMessage } from './message.ts';
import { createStallClock, type StallClock } from './stall-clock.ts';
import { createWheel } from './wheel.ts';

// UDP flows: each asks once a period, from one port, and a real server answers. Datagrams may be lost while nobody
// forwards; what must not happen is another real server, an answer out of order or altered, or silence for good.

export interface FlowOptions {
  readonly addresses: readonly string[];
  readonly flowPort: number;
  readonly periodMs: number;
  readonly seed: number;
  readonly stallMaxMs: number;
}

export type FlowBreakage = 'corrupted' | 'reordered' | 'moved' | 'stalled';

/** What has become of the flows since the last report. */
export interface FlowReport {
  readonly sent: number;
  readonly broken: number;
  /** Such as `2 moved, 1 stalled`. */
  readonly causes: string;
}

export interface FlowClient {
  /** Opens flows until `count` live, each answered. Gives how many are new. */
  fill(count: number, timeoutMs: number): Promise<number>;
  /** Waits until each living flow has been answered once more. */
  settle(timeoutMs: number): Promise<void>;
  report(): FlowReport;
  close(): void;
}

interface Flow {
  readonly slot: number;
  readonly socket: Socket;
  readonly clock: StallClock;
  sent: number;
  /** The number of the last question that was answered; −1 for none. */
  answered: number;
  server: number | undefined;
  broken: FlowBreakage | undefined;
  onAnswer: (() => void) | undefined;
}

const payloadLength = 40;
const watchEveryMs = 500;

export function createFlowClient(options: FlowOptions): FlowClient {
  const { addresses, flowPort, periodMs, seed, stallMaxMs } = options;
  const wheel = createWheel<Flow>(periodMs, ask);
  let flows: Flow[] = [];
  let nextFlow = 0;
  setInterval(() => {
    for (const flow of flows) if (flow.clock.stalledMs(performance.now()) > stallMaxMs) lose(flow, 'stalled');
  }, watchEveryMs);

  function ask(flow: Flow): void {
    const sequence = flow.sent;
    flow.sent += 1;
    const identity = { session: flow.slot, seed, payloadLength } as const;
    const message: Message = { ...identity, kind: 'payload', direction: 0, sequence, acknowledged: 0 };
    const bytes = Buffer.alloc(messageLength(message));
    emitMessage(message, bytes, 0);
    // A refusal for an earlier datagram (RFC 1122 section 4.1.3.3) may come back here: silence decides, not this.
    flow.socket.send(bytes, () => {});
  }

  function receive(flow: Flow, bytes: Buffer): void {
    const parsed = parseMessage(bytes);
    if (!parsed.ok) {
      lose(flow, 'corrupted');
      return;
    }
    const { direction, session, sequence, acknowledged: server } = parsed.value;
    if (direction !== 1 || session !== flow.slot || parsed.value.seed !== seed || sequence >= flow.sent) {
      lose(flow, 'corrupted');
      return;
    }
    if (sequence <= flow.answered) {
      lose(flow, 'reordered');
      return;
    }
    flow.answered = sequence;
    flow.server ??= server;
    if (server !== flow.server) {
      lose(flow, 'moved');
      return;
    }
    flow.clock.progress(performance.now());
    flow.onAnswer?.();
  }

  function lose(flow: Flow, cause: FlowBreakage): void {
    if (flow.broken !== undefined) return;
    flow.broken = cause;
    wheel.remove(flow);
    flow.onAnswer?.();
  }

  function open(): Flow {
    const slot = nextFlow;
    nextFlow += 1;
    const address = addresses[slot % addresses.length]!;
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const clock = createStallClock(periodMs, performance.now());
    const flow: Flow = {
      ...{ slot, socket, clock, sent: 0, answered: -1 },
      ...{ server: undefined, broken: undefined, onAnswer: undefined },
    };
    socket.on('error', () => {});
    socket.on('message', (bytes) => receive(flow, bytes));
    socket.connect(flowPort, address, () => {
      ask(flow);
      wheel.add(flow);
    });
    return flow;
  }

  const living = (): Flow[] => flows.filter(({ broken }) => broken === undefined);
  return {
    fill: async (count, timeoutMs) => {
      const started = Array.from({ length: Math.max(0, count - living().length) }, open);
      flows.push(...started);
      await Promise.all(started.map((flow) => nextAnswer(flow, timeoutMs)));
      const silent = started.filter(({ answered }) => answered < 0).length;
      if (silent > 0) throw new Error(`${silent} of ${started.length} UDP flows had no answer within ${timeoutMs} ms`);
      return started.length;
    },
    settle: async (timeoutMs) => {
      await Promise.all(living().map((flow) => nextAnswer(flow, timeoutMs)));
    },
    report: () => {
      const causes = new Map<FlowBreakage, number>();
      for (const { broken } of flows) if (broken !== undefined) causes.set(broken, (causes.get(broken) ?? 0) + 1);
      const sent = flows.length;
      for (const flow of flows) if (flow.broken !== undefined) flow.socket.close();
      flows = living();
      return {
        ...{ sent, broken: sent - flows.length },
        causes: [...causes].map(([cause, count]) => `${count} ${cause}`).join(', '),
      };
    },
    close: () => {
      for (const flow of flows) {
        wheel.remove(flow);
        flow.socket.close();
      }
      flows = [];
    },
  };
}

/** Resolves with the next answer, when the flow breaks, or when the time is over. */
function nextAnswer(flow: Flow, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      flow.onAnswer = undefined;
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    flow.onAnswer = done;
  });
}
