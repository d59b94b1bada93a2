// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import { createSessionEnd } from './session.ts';

/** A session that has been answered once, and is silent until it is to ask again. */
export interface IdleSession {
  /** True when it was answered in time; it leaves then. */
  ask(): Promise<boolean>;
}

const answerMaxMs = 10_000;

/** Resolves with undefined when it could not be opened. */
export async function createIdleSession({
  host,
  port,
  session,
  seed,
}: {
  readonly host: string;
  readonly port: number;
  readonly session: number;
  readonly seed: number;
}): Promise<IdleSession | undefined> {
  const socket = connect({ host, port, noDelay: true });
  const end = createSessionEnd({ session, direction: 0, seed });
  let settle: (answered: boolean) => void = () => {};
  let isOver = false;
  const lose = (): void => {
    isOver = true;
    settle(false);
  };
  const ask = (): Promise<boolean> =>
    new Promise((resolve) => {
      const timer = setTimeout(lose, answerMaxMs);
      settle = (answered) => {
        clearTimeout(timer);
        resolve(answered);
      };
      if (isOver) settle(false);
      else socket.write(end.next());
    });
  socket.on('error', lose);
  socket.on('close', lose);
  socket.on('data', (chunk) => end.accept(chunk) === 'progress' && settle(true));
  if (!(await ask())) {
    socket.destroy();
    return undefined;
  }
  return {
    ask: async () => {
      const answered = await ask();
      socket.removeListener('close', lose);
      if (answered) socket.end();
      else socket.destroy();
      return answered;
    },
  };
}
