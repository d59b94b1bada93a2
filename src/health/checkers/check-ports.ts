// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../lib/ip-address.ts';

/** Opens a TCP connection and closes it again. Resolves with true when it was established within the timeout. */
export interface TcpConnector {
  connect(address: IpAddress, port: number, timeoutMs: number): Promise<boolean>;
}

/** The ports through which checkers reach the network. */
export interface CheckPorts {
  readonly connector: TcpConnector;
}
