// SPDX-License-Identifier: Apache-2.0

import { datagramContract, fragmentContract } from './datagrams.ts';
import { deadServersContract } from './dead-servers.ts';
import { forwardingContract } from './forwarding.ts';
import { holdingContract } from './holding.ts';
import { ipv6Contract } from './ipv6.ts';
import { lifecycleContract } from './lifecycle.ts';
import { loadContract } from './load.ts';
import { makePortableEngine } from './portable-harness.ts';
import { publishingContract } from './publishing.ts';
import { refusalContract } from './refusals.ts';
import { replicationContract } from './replication.ts';
import { secondClassContract } from './second-class.ts';
import { strangersContract } from './strangers.ts';

forwardingContract('portable', makePortableEngine);
refusalContract('portable', makePortableEngine);
lifecycleContract('portable', makePortableEngine);
replicationContract('portable', makePortableEngine);
publishingContract('portable', makePortableEngine);
holdingContract('portable', makePortableEngine);
datagramContract('portable', makePortableEngine);
fragmentContract('portable', makePortableEngine);
loadContract('portable', makePortableEngine);
ipv6Contract('portable', makePortableEngine);
deadServersContract('portable', makePortableEngine);
strangersContract('portable', makePortableEngine);
secondClassContract('portable', makePortableEngine);
