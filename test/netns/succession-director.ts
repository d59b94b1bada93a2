// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RouterAssignment } from '../../src/director/address-plan.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import type { VirtualRouter } from '../../src/model/virtual-router.ts';
import { RtnetlinkAddressKeeper } from '../../src/platform/linux/netlink/address-keeper.ts';
import { LeaseMemory } from '../../src/platform/linux/process/lease-memory.ts';
import { claimRunDirectory } from '../../src/platform/linux/process/run-directory.ts';
import { readSealedText, sealText } from '../../src/platform/linux/process/sealed-text.ts';
import { RawVrrpTransport } from '../../src/platform/linux/vrrp/vrrp-socket.ts';
import { VrrpSupervisor } from '../../src/processes/vrrp/supervisor.ts';
import { findPredecessor } from '../../src/succession/predecessor.ts';
import type { NamedDescriptor } from '../../src/succession/successor-descriptors.ts';

// A director that behaves towards the vrrp process as one with the xdp engine: `node succession-director.js RUN-DIR
// PRIORITY ADDRESS/LENGTH...`. Files in memory take the place of maps and links. It reports its steps in lines of JSON
// on stdout, and takes commands on stdin.

const baton = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const [runDirectory = '', priority = '', ...places] = process.argv.slice(2);

const tell = (line: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const log = (level: string, msg: string): void => tell({ level, msg });

const run = claimRunDirectory(runDirectory);
const predecessor = await findPredecessor(runDirectory, log);
const found = predecessor?.descriptors ?? [];
const leaseFd = found.find(({ name }) => name === 'leases')?.fd;
const leases = leaseFd === undefined ? LeaseMemory.create() : LeaseMemory.attach(leaseFd);
const texts = found.flatMap(({ name, fd }) => (name === 'leases' ? [] : [`${name} ${readSealedText(fd, 100)}`]));
tell({ found: predecessor === undefined ? null : { label: predecessor.label, texts } });
const descriptors: NamedDescriptor[] = [{ name: 'leases', fd: leases.fd }];
for (let i = 0; i < 40; i += 1) descriptors.push({ name: `map${i}`, fd: sealText('map', `from ${process.pid}`) });

const supervisor = new VrrpSupervisor({
  script: baton,
  arguments: ['vrrp-process'],
  leaseFd: leases.fd,
  leaseWriter: leases,
  addressKeeper: new RtnetlinkAddressKeeper(),
  openTransport: () => new RawVrrpTransport(),
  forSuccessor: { label: `director ${process.pid}`, descriptors, runDirectory },
  ...(predecessor === undefined ? {} : { predecessor }),
  log,
});
supervisor.setGate(true);

const words: Readonly<Record<string, () => Promise<void>>> = {
  configure: async () => {
    await supervisor.configure([assignment()]);
    const [router] = await supervisor.status();
    tell({ state: router?.state });
  },
  status: async () => {
    const [router] = await supervisor.status();
    tell({ status: router });
  },
  stop: async () => {
    await supervisor.stop();
    run.release();
    process.exit(0);
  },
};
createInterface({ input: process.stdin }).on('line', (word) => void words[word]?.());
process.on('SIGTERM', () => void words.stop?.());

function assignment(): RouterAssignment {
  const addresses = places.map((place) => {
    const [address, length] = place.split('/');
    return { address: address as IpAddress, prefixLength: Number(length), interface: 'eth0' };
  });
  const router: VirtualRouter = {
    name: 'web',
    interface: 'eth0',
    family: 'ipv4',
    vrid: 7,
    version: 3,
    priority: Number(priority),
    advertIntervalMs: 100,
    startAs: 'backup',
    preempt: true,
    preemptDelayMs: 0,
    addresses,
    announcement: { repeat: 1, delayMs: 0, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
  };
  return { router, leaseSlot: 3, installed: new Set(addresses.map(({ address }) => address)) };
}
