// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import type { TcpConnector } from '../../../health/checkers/check-ports.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';

/** Opens a connection and resets it: a check every second must not leave one in TIME_WAIT each time. */
export class NodeTcpConnector implements TcpConnector {
  connect(address: IpAddress, port: number, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect({ host: address, port });
      let settled = false;
      const settle = (established: boolean): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        if (established) socket.resetAndDestroy();
        else socket.destroy();
        resolve(established);
      };
      const timer = setTimeout(settle, timeoutMs, false);
      socket.once('connect', () => settle(true));
      // The listener stays: a reset may still be reported after the answer.
      socket.on('error', () => settle(false));
      socket.once('close', () => settle(false));
    });
  }
}
