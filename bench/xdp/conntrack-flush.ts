// SPDX-License-Identifier: Apache-2.0
import {
  AF_NETLINK,
  checked,
  close,
  pinnedMemory,
  recv,
  SOCK_RAW,
  sendto,
  socket,
} from '../../src/platform/linux/libc.ts';

const NETLINK_NETFILTER = 12;
/** linux/netfilter/nfnetlink.h: subsystem ctnetlink, message IPCTNL_MSG_CT_DELETE. Without attributes it means all. */
const deleteConnections = (1 << 8) | 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
/** struct nlmsghdr, struct nfgenmsg. */
const length = 20;

/** Has connection tracking forget all that it knows in this network namespace. */
export function flushConntrack(): void {
  const request = pinnedMemory(length);
  const view = new DataView(request.bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, deleteConnections, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true);
  const answer = pinnedMemory(256);
  const fd = checked('socket', socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), 'flush connection tracking');
  try {
    checked('sendto', sendto(fd, request.address, length, 0, 0, 0), 'flush connection tracking');
    checked('recv', recv(fd, answer.address, answer.bytes.length, 0), 'flush connection tracking');
    // struct nlmsgerr: the error, negative, stands behind the header.
    const error = new DataView(answer.bytes.buffer).getInt32(16, true);
    if (error !== 0) throw new Error(`the kernel does not flush connection tracking (error ${-error})`);
  } finally {
    close(fd);
  }
}
