// SPDX-License-Identifier: Apache-2.0
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Where a connection is with its one request: it has not said all of it, the director is at the answer, or the answer
 * waits for its reader.
 */
export type ExchangeStage = 'asking' | 'answering' | 'unread';

/**
 * Bounds the connections of the control socket, so that slow ones give way to new ones: the oldest that still asks, else
 * the one whose reader has read nothing for the longest time. Only when the director is at work for all of them is a new
 * one turned away.
 */
export class ControlAdmission {
  readonly #connectionsMax: number;
  /** In the order in which they came to their stage. */
  readonly #stages = new Map<Socket, ExchangeStage>();

  constructor(server: Server, connectionsMax: number) {
    this.#connectionsMax = connectionsMax;
    server.on('connection', (socket) => this.#admit(socket));
  }

  /** A connection that has been closed stays out. */
  move(socket: Socket, stage: ExchangeStage): void {
    if (this.#stages.delete(socket)) this.#stages.set(socket, stage);
  }

  #admit(socket: Socket): void {
    if (this.#stages.size >= this.#connectionsMax) {
      const slow = this.#oldest('asking') ?? this.#oldest('unread');
      if (slow === undefined) {
        socket.destroy();
        return;
      }
      this.#stages.delete(slow);
      slow.destroy();
    }
    this.#stages.set(socket, 'asking');
    socket.once('close', () => this.#stages.delete(socket));
  }

  #oldest(stage: ExchangeStage): Socket | undefined {
    for (const [socket, each] of this.#stages) if (each === stage) return socket;
    return undefined;
  }
}
