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

/** The fate of the flows since the last report. */
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

/** The progress of a flow. */
export interface FlowProgress {
  readonly slot: number;
  sent: number;
  /** The number of the last question that was answered; −1 for none. */
  answered: number;
  /** The real server that answered first. */
  server: number | undefined;
}

interface Flow extends FlowProgress {
  readonly socket: Socket;
  readonly clock: StallClock;
  broken: FlowBreakage | undefined;
  onAnswer: (() => void) | undefined;
}

const payloadLength = 40;
const watchEveryMs = 500;

export function createFlowClient(options: FlowOptions): FlowClient {
  const { periodMs, seed, stallMaxMs } = options;
  const wheel = createWheel<Flow>(periodMs, (flow) => ask(flow, seed));
  let flows: Flow[] = [];
  let nextFlow = 0;
  const lose = (flow: Flow, cause: FlowBreakage): void => {
    flow.broken ??= cause;
    wheel.remove(flow);
    flow.onAnswer?.();
  };
  setInterval(() => {
    for (const flow of living()) if (flow.clock.stalledMs(performance.now()) > stallMaxMs) lose(flow, 'stalled');
  }, watchEveryMs);
  const open = (): Flow => {
    const flow = openFlow(options, nextFlow, (bytes) => {
      const cause = judgeAnswer(flow, bytes, seed);
      if (cause !== undefined) return lose(flow, cause);
      flow.clock.progress(performance.now());
      return flow.onAnswer?.();
    });
    nextFlow += 1;
    flow.socket.once('connect', () => {
      ask(flow, seed);
      wheel.add(flow);
    });
    return flow;
  };
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
      const named = [...causes].map(([cause, count]) => `${count} ${cause}`);
      return { sent, broken: sent - flows.length, causes: named.join(', ') };
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

function openFlow(
  { addresses, flowPort, periodMs }: FlowOptions,
  slot: number,
  receive: (bytes: Buffer) => void,
): Flow {
  const address = addresses[slot % addresses.length]!;
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  socket.on('message', receive);
  socket.connect(flowPort, address);
  return {
    slot,
    socket,
    clock: createStallClock(periodMs, performance.now()),
    sent: 0,
    answered: -1,
    server: undefined,
    broken: undefined,
    onAnswer: undefined,
  };
}

function ask(flow: Flow, seed: number): void {
  const sequence = flow.sent;
  flow.sent += 1;
  const identity = { session: flow.slot, seed, payloadLength } as const;
  const message: Message = { ...identity, kind: 'payload', direction: 0, sequence, acknowledged: 0 };
  const bytes = Buffer.alloc(messageLength(message));
  emitMessage(message, bytes, 0);
  // A refusal for an earlier datagram (RFC 1122 section 4.1.3.3) may come back here: silence decides, not this.
  flow.socket.send(bytes, () => {});
}

/** Takes an answer into the flow, or gives what is wrong with it. */
export function judgeAnswer(flow: FlowProgress, bytes: Buffer, seed: number): FlowBreakage | undefined {
  const parsed = parseMessage(bytes);
  if (!parsed.ok) return 'corrupted';
  const { direction, session, sequence, acknowledged: server } = parsed.value;
  const isOwn = direction === 1 && session === flow.slot && parsed.value.seed === seed;
  if (!isOwn || sequence >= flow.sent) return 'corrupted';
  if (sequence <= flow.answered) return 'reordered';
  flow.answered = sequence;
  flow.server ??= server;
  return server === flow.server ? undefined : 'moved';
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
