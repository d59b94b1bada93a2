// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../lib/ip-address.ts';
import type { ForwardingMethod } from './forwarding-method.ts';
import type { TransportProtocol } from './virtual-service.ts';

/** The 5-tuple that names a connection as its client sees it. */
export interface FlowKey {
  readonly family: Family;
  readonly protocol: TransportProtocol;
  readonly clientAddress: IpAddress;
  readonly clientPort: number;
  readonly virtualAddress: IpAddress;
  readonly virtualPort: number;
}

/** A connection entry in a form for people, logs and JSON. Data paths and sync use `ConnectionBatch`. */
export interface ConnectionEntry extends FlowKey {
  readonly realAddress: IpAddress;
  readonly realPort: number;
  readonly forwardingMethod: ForwardingMethod;
  /** IPVS's name of the state, for example `ESTABLISHED`. */
  readonly state: string;
  /** Milliseconds until it expires unless a packet comes. */
  readonly expiresInMs: number;
  /** This director forwards it; otherwise it was learnt from a peer. */
  readonly local: boolean;
  /** A connection template instead of a connection: see `Persistence`. */
  readonly template?: boolean;
  /** An established TCP connection that has carried no data: when there is no room, it gives way. */
  readonly secondClass?: boolean;
}
