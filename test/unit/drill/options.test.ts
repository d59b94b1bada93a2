// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDrillArguments } from '../../../src/drill/options.ts';
import { scenarioNames } from '../../../src/drill/scenario-names.ts';

const defaults = {
  scenarios: ['kill', 'failback', 'handover', 'freeze'],
  forwardings: ['direct-route', 'masquerade'],
  family: 'ipv4',
  sessions: 1000,
  flows: 200,
  openingRate: 500,
  runs: 1,
  soakMinutes: 0,
  addresses: 1,
  advertIntervalMs: 100,
  engine: 'auto',
  sync: true,
  defer: false,
  json: false,
};

for (const [line, changed] of [
  ['', {}],
  ['--scenario kill', { scenarios: ['kill'] }],
  ['--scenario all --forwarding both', { scenarios: scenarioNames }],
  ['--scenario freeze,kill,freeze', { scenarios: ['freeze', 'kill', 'freeze'] }],
  ['--family both --flows 0', { family: 'both', flows: 0 }],
  ['--opening-rate 0 --runs 50', { openingRate: 0, runs: 50 }],
  ['--soak 30', { soakMinutes: 30 }],
  ['--forwarding masquerade', { forwardings: ['masquerade'] }],
  ['--sessions 5 --advert-int 0.01 --json', { sessions: 5, advertIntervalMs: 10, json: true }],
  ['--defer on', { defer: true }],
  ['--sync off --scenario handover', { sync: false, scenarios: ['handover'] }],
  ['--engine portable --offloads on', { engine: 'portable', offloads: true }],
  ['--engine xdp --offloads off --advert-int 1', { engine: 'xdp', offloads: false, advertIntervalMs: 1000 }],
] as const) {
  test(`baton drill ${line}`, () => {
    const expected = { kind: 'run', options: { ...defaults, ...changed } };
    assert.deepEqual(parseDrillArguments(words(line)), expected);
  });
}

for (const [line, sentence] of [
  ['--scenario frost', `--scenario is one of ${scenarioNames.join(', ')}, all, not 'frost'`],
  ['--scenario kill,', `--scenario is one of ${scenarioNames.join(', ')}, all, not ''`],
  ['--family ipx', "--family is one of ipv4, ipv6, both, not 'ipx'"],
  ['--flows many', "--flows is a number from 0 to 5000, not 'many'"],
  ['--opening-rate 2001', "--opening-rate is a number from 0 to 2000, not '2001'"],
  ['--addresses 256', "--addresses is a number from 1 to 255, not '256'"],
  ['--runs 0', "--runs is a number from 1 to 500, not '0'"],
  ['--forwarding tunnel', "--forwarding is one of direct-route, masquerade, both, not 'tunnel'"],
  ['--sessions 0', "--sessions is a number from 1 to 20000, not '0'"],
  ['--sessions 1e3', "--sessions is a number from 1 to 20000, not '1e3'"],
  ['--advert-int 0.015', "--advert-int is a number of seconds from 0.01 to 10 in steps of 0.01, not '0.015'"],
  ['--offloads maybe', "--offloads is one of on, off, not 'maybe'"],
  ['--engine quartz', "--engine is one of auto, xdp, portable, not 'quartz'"],
  ['--engine xdp --offloads on', '--offloads on leaves checksums unfinished, which --engine xdp cannot see'],
  ['--frost', "Unknown option '--frost'"],
] as const) {
  test(`baton drill ${line} is wrong usage`, () => {
    const expected = { kind: 'wrong', sentence: `baton drill: ${sentence}; see baton drill --help` };
    assert.deepEqual(parseDrillArguments(words(line)), expected);
  });
}

function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '');
}
