// SPDX-License-Identifier: Apache-2.0
import { loadAndAttach, openXdpLink } from '../../../src/platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../../src/platform/linux/bpf/load.ts';
import { openBpfObject } from '../../../src/platform/linux/bpf/object.ts';
import { probeXdp } from '../../../src/platform/linux/bpf/probe.ts';
import { openRingReader } from '../../../src/platform/linux/bpf/ring-reader.ts';
import { fixtureObject } from './objects.ts';

// Run as a user without any privilege but some capabilities: what all of the platform side can do then, as JSON.

const [interfaceIndex] = process.argv.slice(2).map(Number);
const probe = probeXdp();
if (!probe.usable || interfaceIndex === undefined) {
  console.log(JSON.stringify({ ...probe, refusal: refusal() }));
} else {
  const settings = { constants: { verdict_base: 30 }, mapSizes: { slots: 100 } };
  const { object, links, warnings } = loadAndAttach(settings, 'count_packet', [interfaceIndex], {
    path: fixtureObject,
  });
  const adopted = openBpfObject(object.descriptors());
  const packet = new Uint8Array(60);
  packet[0] = 2;
  const { verdict } = adopted.programs.get('count_packet')!.run(packet);
  const events = openRingReader(adopted.maps.get('events')!);
  adopted.programs.get('send_event')!.run(new Uint8Array(60));
  const read = events.read(10, () => {});
  const link = openXdpLink(links[0]!.fd);
  link.replace(adopted.programs.get('send_event')!);
  console.log(
    JSON.stringify({
      uid: process.getuid?.(),
      probe,
      warnings,
      verdict,
      read,
      mode: link.mode,
      attached: link.isAttached(),
    }),
  );
}

function refusal(): string {
  try {
    loadBpfObject({ constants: {}, mapSizes: {} }, { path: fixtureObject });
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
}
