// SPDX-License-Identifier: Apache-2.0
import { readStatements } from '../../config/language/block-reader.ts';
import { noArguments } from '../../config/language/values.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import { endpointName } from '../../model/virtual-service.ts';
import { type CheckOptions, endpointReaders, optionReaders, type WrittenEndpoint } from './check-options.ts';
import type { CheckedEndpoint, Checker } from './checker.ts';

const keyword = 'TCP_CHECK';

/** Succeeds when a TCP connection is established (keepalived check_tcp.c). */
export const tcpCheck: Checker<CheckedEndpoint> = {
  keyword,

  read(statement, diagnostics) {
    noArguments(statement, diagnostics);
    const options: CheckOptions = {};
    const endpoint: WrittenEndpoint = {};
    readStatements(
      statement.block?.statements ?? [],
      keyword,
      { ...optionReaders(options, diagnostics), ...endpointReaders(endpoint, diagnostics) },
      diagnostics,
    );
    return {
      options,
      complete: (server) => ({ address: endpoint.address ?? server.address, port: endpoint.port ?? server.port }),
    };
  },

  identify: endpointName,

  async attempt(endpoint, timeoutMs, { connector }) {
    try {
      const connected = await connector.connect(endpoint.address, endpoint.port, timeoutMs);
      return connected ? undefined : `${endpointName(endpoint)} did not accept a TCP connection`;
    } catch (error) {
      return `the TCP connection to ${endpointName(endpoint)} failed: ${errorSentence(error)}`;
    }
  },
};
