// SPDX-License-Identifier: Apache-2.0
import { attachXdp } from '../../platform/linux/bpf/attachment.ts';
import { loadPassProgram } from '../../platform/linux/bpf/pass-program.ts';
import { errno, if_nametoindex } from '../../platform/linux/libc.ts';
import { SystemError } from '../../platform/linux/system-error.ts';
import { serveRemote } from '../remote.ts';

// Runs in the switch. What a veth sends by XDP_TX or a redirect arrives only where the other end receives by NAPI,
// which it does with an XDP program of its own in native mode (drivers/net/veth.c, veth_xdp_xmit). A real NIC needs
// none. The kernel takes a program away with its interface, and all of them with this process.

interface FarEnd {
  readonly index: number;
  readonly close: () => void;
}

let program = -1;
const farEnds = new Map<string, FarEnd>();

serveRemote({
  /** Lets these ports receive what their other ends send by XDP, also after they were recreated. */
  pass: (names: readonly string[]) => {
    if (program < 0) program = loadPassProgram();
    if (program < 0) throw new SystemError('bpf', errno(), 'load an XDP program for the ports of the switch');
    for (const name of names) {
      const index = if_nametoindex(name);
      const known = farEnds.get(name);
      if (known?.index === index) continue;
      known?.close();
      const { link } = attachXdp({ fd: program }, index, 'native');
      farEnds.set(name, { index, close: () => link.close() });
    }
  },
});
