// SPDX-License-Identifier: Apache-2.0
import { afterEach, test } from 'node:test';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { datagramContract, fragmentContract } from './datagrams.ts';
import { deadServersContract } from './dead-servers.ts';
import { forwardingContract } from './forwarding.ts';
import { holdingContract } from './holding.ts';
import { ipv6Contract } from './ipv6.ts';
import { lifecycleContract } from './lifecycle.ts';
import { loadContract } from './load.ts';
import { publishingContract } from './publishing.ts';
import { refusalContract } from './refusals.ts';
import { replicationContract } from './replication.ts';
import { secondClassContract } from './second-class.ts';
import { strangersContract } from './strangers.ts';
import { closeXdpEngines, makeXdpEngine } from './xdp-harness.ts';
import { xdpStories } from './xdp-stories.ts';

const xdp = probeXdp();
const reason = process.getuid?.() === 0 ? (xdp.usable ? undefined : xdp.reason) : 'needs root for a network namespace';

if (reason !== undefined) test('the contract, on the xdp engine', { skip: reason }, () => undefined);
else {
  afterEach(closeXdpEngines);
  forwardingContract('xdp', makeXdpEngine);
  refusalContract('xdp', makeXdpEngine);
  lifecycleContract('xdp', makeXdpEngine);
  replicationContract('xdp', makeXdpEngine);
  publishingContract('xdp', makeXdpEngine);
  holdingContract('xdp', makeXdpEngine);
  datagramContract('xdp', makeXdpEngine);
  fragmentContract('xdp', makeXdpEngine);
  loadContract('xdp', makeXdpEngine);
  ipv6Contract('xdp', makeXdpEngine);
  deadServersContract('xdp', makeXdpEngine);
  strangersContract('xdp', makeXdpEngine);
  secondClassContract('xdp', makeXdpEngine);
  xdpStories();
}
