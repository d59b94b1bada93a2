// SPDX-License-Identifier: Apache-2.0

/** In the order in which `all` runs them. */
export const scenarioNames = [
  'cold-start',
  'kill',
  'failback',
  'handover',
  'freeze',
  'poweroff',
  'link-down',
  'restart',
  'reload',
  'partition',
  'asymmetric',
  'sync-cut',
  'flapping',
  'both-stall',
  'director-hang',
  'director-kill',
  'address-lost',
  'route-lost',
  'storm',
  'reset-attack',
  'syn-flood',
  'fill',
  'server-death',
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

/** The scenarios of a drill without `--scenario`: the usual ways in which a director leaves and comes back. */
export const defaultScenarios: readonly ScenarioName[] = ['kill', 'failback', 'handover', 'freeze'];

export interface ScenarioText {
  readonly title: string;
  /** Lines for the help: the event, and the requirements beside those of every scenario. */
  readonly help: readonly string[];
}

export const scenarioTexts: Readonly<Record<ScenarioName, ScenarioText>> = {
  'cold-start': {
    title: 'both directors start at once',
    help: ['both directors start at once, without sessions', 'exactly one becomes active, and sessions can be opened'],
  },
  kill: {
    title: 'kill -9 of the active director',
    help: ['kill -9 of every process of the active director', 'the other one takes over within the bound of a failure'],
  },
  failback: {
    title: 'the killed director comes back',
    help: ['the killed director is started again', 'it copies the connection table and takes back'],
  },
  handover: {
    title: 'planned handover',
    help: ['the active director hands over (baton failover)', 'the other one takes over at once'],
  },
  freeze: {
    title: 'the active director freezes for 3 s',
    help: [
      'SIGSTOP to every process of the active director, SIGCONT 3 s later',
      'once continued it sends nothing for the addresses until it takes back, not before its active down interval',
    ],
  },
  poweroff: {
    title: 'power failure of the active director',
    help: [
      "the active director's processes and cables vanish at once",
      'recreated, it copies the table and takes back',
    ],
  },
  'link-down': {
    title: 'the active director loses its front link',
    help: [
      "the switch takes the active director's front link down, for 2 s",
      'it is inactive as long, and takes back then',
    ],
  },
  restart: {
    title: 'restart of the active director',
    help: [
      'portable engine: SIGTERM to the active director, then a start; it exits with 0, hands over, and takes back',
      'xdp engine: kill -9 of the director process alone, then a start; nothing is lost, and nobody takes over',
    ],
  },
  reload: {
    title: 'reload with other real servers',
    help: ['SIGHUP with other weights and a further real server', 'no gap; the added real server gets new sessions'],
  },
  partition: {
    title: 'the directors cannot hear each other',
    help: [
      'the directors cannot hear each other for 2 s, but all others: both become active (split brain)',
      'healed, one remains within 2 x active down interval, announces the addresses again, and the tables merge;',
      'sessions that the remaining director carried are unbroken, others are counted; two may forward meanwhile',
    ],
  },
  asymmetric: {
    title: 'the backup does not hear the active director',
    help: ['the backup does not hear the active director for 2 s, but is heard', 'what must hold for partition'],
  },
  'sync-cut': {
    title: 'the better director comes back while synchronisation is cut',
    help: [
      'kill -9 of the active director; it comes back while synchronisation, but not VRRP, is cut',
      'it says that it is cut off and does not take back before synchronisation is whole again',
    ],
  },
  flapping: {
    title: 'ten failures in a row',
    help: ['kill, handover, freeze and link-down in turn, ten in all, each healed', 'the same sessions cross them all'],
  },
  'both-stall': {
    title: 'both directors stand still for 3 s',
    help: [
      'SIGSTOP to every process of both directors, SIGCONT to both 3 s later',
      'one of them is active within its active down interval, and the role changes hands once at most',
    ],
  },
  'director-hang': {
    title: 'the active director hangs',
    help: [
      'SIGSTOP to the director process of the active director alone, SIGCONT 10 s later',
      'the other one takes over within 8 s; no session breaks that was opened before or meanwhile',
    ],
  },
  'director-kill': {
    title: 'kill -9 of the director process alone',
    help: [
      'kill -9 of the director process of the active director alone, which does not come back',
      'the other one takes over within 8 s; started again, the director takes back',
    ],
  },
  'address-lost': {
    title: 'the active director loses its own address',
    help: [
      "the active director's own addresses vanish from its front interface for 3 s, its link stays up",
      'the other one takes over within the bound of a failure; once they are back, it hands back',
    ],
  },
  'route-lost': {
    title: 'the active director loses its routes to all real servers',
    help: [
      "the active director's routes to all real servers vanish for 3 s, its links and addresses stay",
      'the other one takes over within the bound of a failure; once they are back, it hands back',
    ],
  },
  storm: {
    title: 'a storm of advertisements of a lower priority',
    help: [
      'a third host advertises the virtual routers with priority 1, 5 000 times a second for 5 s',
      'nobody takes over, and no advertisement of the active director is late by an interval',
    ],
  },
  'reset-attack': {
    title: 'blind resets from every client port',
    help: [
      'RST, FIN and SYN with guessed sequence numbers in the name of the clients, from each port they may have',
      'no session breaks, neither a busy nor an idle one',
    ],
  },
  fill: {
    title: 'a flood of segments of every kind',
    help: [
      'two million SYN, SYN+ACK, ACK, FIN, RST and UDP from addresses that nobody has (portable engine: 120 000)',
      'over 90 % of new connections succeed meanwhile, and afterwards',
    ],
  },
  'server-death': {
    title: 'a real server dies',
    help: [
      'a real server of two services of their own is cut off, until its checks have taken it out',
      'SYNs under way, client ports used again and UDP flows then reach the other one, by their next packet',
    ],
  },
  'syn-flood': {
    title: 'a flood of a million SYNs',
    help: [
      'xdp engine only: a million TCP SYNs from addresses that nobody has',
      'over 90 % of new connections made meanwhile succeed',
    ],
  },
};

/** True for scenarios in which VRRP by itself elects two active directors for a time. */
export function mayHaveTwo(scenario: ScenarioName): boolean {
  return scenario === 'partition' || scenario === 'asymmetric';
}
