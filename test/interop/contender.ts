// SPDX-License-Identifier: Apache-2.0
// A process of its own, in a namespace: one virtual router, elected with the adapters that the daemon has, without an
// engine behind it. The argument is the FlatRouter as JSON. Reports on stdout, one JSON line for each change.
import { Election } from '../../src/director/election/election.ts';
import { isHolding } from '../../src/director/election/running-router.ts';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { RtnetlinkAddressKeeper, renewalPeriodMs } from '../../src/platform/linux/netlink/address-keeper.ts';
import { InterfaceFollower } from '../../src/platform/linux/netlink/interface-follower.ts';
import { SegmentAnnouncer } from '../../src/platform/linux/vrrp/announce.ts';
import { RawVrrpTransport } from '../../src/platform/linux/vrrp/vrrp-socket.ts';
import { assign, type FlatRouter, factsOf } from '../support/election.ts';

const router = JSON.parse(process.argv[2]!) as FlatRouter;
const interfaces = new InterfaceFollower();
const transport = new RawVrrpTransport((name) => interfaces.facts(name));
const addressKeeper = new RtnetlinkAddressKeeper();
setInterval(() => addressKeeper.renew(), renewalPeriodMs);

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const election = new Election({
  clock: new MonotonicClock(),
  transport,
  addressKeeper,
  announcer: new SegmentAnnouncer(
    (error) => say({ problem: error.message }),
    (name) => interfaces.facts(name),
  ),
  leaseWriter: { grant: () => undefined, revoke: () => undefined },
  log: (level, sentence) => {
    if (level === 'error') say({ problem: sentence });
  },
  onChange: (running) => say({ state: isHolding(running) ? 'holding' : running.state.kind }),
});
interfaces.start({
  onLink: (name, up) => election.observe({ kind: 'link', interface: name, up }),
  onAddresses: (name) => election.observe({ kind: 'addresses', interface: name }),
});
election.setGate(true);
election.configure([assign(router)]);
process.on('SIGTERM', () => {
  interfaces.close();
  void election.stop().then(() => {
    // The other one has to explain the advertisements that this one refused: reported last, when the counts are final.
    const [view] = factsOf(election);
    say({ state: 'stopped', view });
    process.exit(0);
  });
});
