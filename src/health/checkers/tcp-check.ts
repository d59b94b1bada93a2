// SPDX-License-Identifier: Apache-2.0
import type { TcpCheck } from '../../model/configuration.ts';
import { endpointName } from '../../model/virtual-service.ts';
import type { TcpConnector } from '../connector.ts';

/** One TCP_CHECK. Resolves with why it failed, or with undefined when the connection was established. Never rejects. */
export async function runTcpCheck(check: TcpCheck, connector: TcpConnector): Promise<string | undefined> {
  try {
    const connected = await connector.connect(check.address, check.port, check.connectTimeoutMs);
    return connected ? undefined : `${endpointName(check)} did not accept a TCP connection`;
  } catch (error) {
    return `the TCP connection to ${endpointName(check)} failed: ${error instanceof Error ? error.message : error}`;
  }
}
