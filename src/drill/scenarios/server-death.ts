// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { deadServerSilenceMs } from '../../connection/dead-servers.ts';
import type { DirectorStatus } from '../../director/status.ts';
import { monotonicMs } from '../director.ts';
import { hasAllRealServers, readyTimeoutMs } from '../health.ts';
import { mortalFlowPort, mortalPort, openerStation, virtualAddresses } from '../lab/topology.ts';
import { quantiles } from '../measure/quantile.ts';
import { startRemote } from '../remote.ts';
import { round } from '../result.ts';
import type { Scenario, Stage } from '../stage.ts';
import type { Asking, DesertedOptions } from '../traffic/deserted-clients.ts';

// A real server is cut off without a word. Once its checks have taken it out, its clients' next packets go to one that
// lives. It serves nobody but the clients of this scenario, so that every other session has to live.

/** Of each kind, for each address. */
const clientCount = 20;
/** The time for which a finished connection keeps its client from using the port again (tcp_tw_reuse), and a bit. */
const silenceMs = 1_200;
const marginMs = 200;
const verdictTimeoutMs = 15_000;
/** The client's kernel repeats a SYN after 1 s, 3 s and 7 s at most: one begun 5 s before the verdict is repeated in it. */
const answerTimeoutMs = 5_000;
/** From the packet that reaches the living server to its answer, on a busy machine. */
const answerMaxMs = 800;
/** The pause before the first repetition of a SYN (RFC 6298 section 2.1); each further one is at most twice as long. */
const synRepeatedMs = 1_000;
/** As the clients are told: the second of the real servers dies. */
const deadServer = 1;

export const serverDeath: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { lab, topology, directors, families } = stage.pair;
    const { mortalServer } = topology;
    const { interface: cable } = topology.stations.find(({ name }) => name === mortalServer.name)!.links[0]!;
    const clients = startRemote(lab, openerStation, 'traffic/deserted-clients');
    const given: DesertedOptions = {
      addresses: families.map((family) => virtualAddresses[family]),
      port: mortalPort,
      flowPort: mortalFlowPort,
      count: clientCount,
      deadServer,
    };
    await clients.call('prepare', given);
    const silentFromMs = monotonicMs();
    await delay(silenceMs);
    stage.say('a real server is cut off');
    const diedMs = monotonicMs();
    stage.note('a real server is cut off', diedMs);
    await lab.setCable(mortalServer.name, cable, false);
    try {
      await clients.call('startConnecting');
      const verdicts = await awaitVerdict(stage);
      await clients.call('endConnecting');
      // A SYN takes a connection from its dead real server only after this silence.
      await delay(Math.max(0, silentFromMs + deadServerSilenceMs + marginMs - monotonicMs()));
      await clients.call('useAgain');
      const asked = await clients.call<Asking[]>('report', answerTimeoutMs);
      for (const { sentence, failure } of judgeDeserted(asked, verdicts)) {
        stage.tell(sentence);
        if (failure !== undefined) stage.fail(failure);
      }
    } finally {
      await lab.setCable(mortalServer.name, cable, true);
      await clients.stop();
    }
    for (const director of Object.values(directors)) {
      await director.await('sure of its real servers', hasAllRealServers, readyTimeoutMs);
    }
  },
};

/** When the checks of each service had taken the real server out, of every family. */
async function awaitVerdict(stage: Stage): Promise<Verdicts> {
  const verdict = async (port: number): Promise<number> => {
    const isOut = ({ services }: DirectorStatus): boolean =>
      services
        .filter(({ name }) => name.endsWith(`:${port}`))
        .every(({ realServers }) => !realServers[deadServer]!.alive);
    await stage.pair.directors.a.await(`rid of the dead real server at port ${port}`, isOut, verdictTimeoutMs);
    return monotonicMs();
  };
  const [tcpVerdictMs, udpVerdictMs] = await Promise.all([verdict(mortalPort), verdict(mortalFlowPort)]);
  stage.note('the checks have taken the real server out', Math.max(tcpVerdictMs, udpVerdictMs));
  return { tcpVerdictMs, udpVerdictMs };
}

/** When the checks had taken the dead real server out of each service, in monotonic milliseconds. */
export interface Verdicts {
  readonly tcpVerdictMs: number;
  readonly udpVerdictMs: number;
}

export interface Judgement {
  readonly sentence: string;
  /** Absent: all clients of this kind have been answered in time. */
  readonly failure?: string;
}

/** A client that had the dead real server, and how long after the verdict, or after its question, it was answered. */
interface Wait {
  /** Infinity: never. */
  readonly ms: number;
  readonly boundMs: number;
}

/** A sentence for each kind of client, and for those of the living server. */
export function judgeDeserted(asked: readonly Asking[], verdicts: Verdicts): Judgement[] {
  const { tcpVerdictMs, udpVerdictMs } = verdicts;
  const bereft = (kind: Asking['kind']): Asking[] =>
    asked.filter((asking) => asking.kind === kind && asking.formerServer === deadServer);
  const underWay = asked.filter(
    (asking) =>
      asking.kind === 'syn' && asking.askedMs < tcpVerdictMs && (asking.answers[0]?.atMs ?? Infinity) >= tcpVerdictMs,
  );
  return [
    judgeWaits(
      'SYNs under way',
      'after the verdict',
      underWay.map((asking) => {
        const boundMs = tcpVerdictMs - asking.askedMs + synRepeatedMs + answerMaxMs;
        return { ms: answeredMs(asking) - tcpVerdictMs, boundMs };
      }),
    ),
    judgeWaits(
      'ports used again',
      'after their SYN',
      bereft('port').map((asking) => ({ ms: answeredMs(asking) - asking.askedMs, boundMs: answerMaxMs })),
    ),
    judgeWaits(
      'UDP clients',
      'after the verdict',
      bereft('flow').map((asking) => ({
        ms: Math.max(0, answeredMs(asking) - udpVerdictMs),
        boundMs: answerMaxMs,
      })),
    ),
    judgeSpared(asked, Math.max(tcpVerdictMs, udpVerdictMs)),
  ];
}

/** When the living server first answered. */
function answeredMs({ answers }: Asking): number {
  return answers.find(({ server }) => server !== deadServer)?.atMs ?? Number.POSITIVE_INFINITY;
}

function judgeWaits(what: string, since: string, waits: readonly Wait[]): Judgement {
  const answered = waits.filter(({ ms }) => Number.isFinite(ms));
  const late = waits.filter(({ ms, boundMs }) => ms > boundMs).length;
  const { p50, max } = quantiles(Float64Array.from(answered, ({ ms }) => ms));
  const longestBoundMs = Math.max(...waits.map(({ boundMs }) => boundMs));
  const figures = `p50 ${round(p50)} ms, max ${round(max)} ms ${since} (at most ${round(longestBoundMs)})`;
  const sentence = `${what}: ${waits.length} at the dead real server, ${answered.length} answered by the living one, ${figures}`;
  if (waits.length === 0) {
    return { sentence: `${what}: none at the dead real server`, failure: `no ${what} were at the dead real server` };
  }
  if (late === 0) return { sentence };
  return { sentence, failure: `${late} of ${waits.length} ${what} were not answered in time` };
}

/** Flows and held connections of the living server stay with it, and are answered after the verdict. */
function judgeSpared(asked: readonly Asking[], verdictMs: number): Judgement {
  const spared = asked.filter(
    ({ kind, formerServer }) => (kind === 'flow' || kind === 'held') && formerServer !== deadServer,
  );
  const broken = spared.filter(
    ({ answers, formerServer, lastAnswerMs }) =>
      answers.length !== 1 || answers[0]!.server !== formerServer || lastAnswerMs < verdictMs,
  ).length;
  const sentence = `at the living real server: ${spared.length} flows and connections, ${broken} broken`;
  if (broken === 0) return { sentence };
  return { sentence, failure: `${broken} of ${spared.length} flows and connections at the living real server broke` };
}
