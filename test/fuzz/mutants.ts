// SPDX-License-Identifier: Apache-2.0
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { CompiledService } from '../../src/model/selector.ts';

/** A configuration that one of the engines has in place of the other's: a search has to find a difference. */
export interface Mutant {
  readonly name: string;
  readonly distort: (configuration: EngineConfiguration) => EngineConfiguration;
}

const eachService =
  (change: (compiled: CompiledService) => CompiledService) =>
  (configuration: EngineConfiguration): EngineConfiguration => ({
    ...configuration,
    services: configuration.services.map(change),
  });

export const mutants: readonly Mutant[] = [
  {
    name: 'a millisecond of a timeout',
    distort: (configuration) => ({
      ...configuration,
      timeouts: { ...configuration.timeouts, tcpFinMs: configuration.timeouts.tcpFinMs + 1 },
    }),
  },
  {
    name: 'a grace period that is half a second longer',
    distort: (configuration) => ({ ...configuration, gracePeriodMs: configuration.gracePeriodMs + 500 }),
  },
  {
    name: 'UDP that stays with dead real servers',
    distort: (configuration) => ({ ...configuration, deadServerPolicy: 'none' }),
  },
  {
    name: 'hash services that make no entry in mid-stream',
    distort: (configuration) => ({ ...configuration, sloppyTcp: false }),
  },
  {
    name: 'no templates',
    distort: eachService((compiled) => {
      const { persistence: _, ...service } = compiled.service;
      return { ...compiled, service };
    }),
  },
  {
    name: 'a threshold that is one higher',
    distort: eachService((compiled) => {
      const realServers = compiled.service.realServers.map((server) =>
        server.upperThreshold === undefined ? server : { ...server, upperThreshold: server.upperThreshold + 1 },
      );
      return { ...compiled, service: { ...compiled.service, realServers } };
    }),
  },
];
