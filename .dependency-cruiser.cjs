// SPDX-License-Identifier: Apache-2.0

// Who may import whom. A folder that is not named in a rule's `pathNot` is out of bounds for it.

/** The files that compose processes and threads, and so name concrete adapters. */
const compositionRoot = '^src/(main\\.ts$|processes/)';

/** Forbids `from` every module of this repository that does not match one of `to`. Tests may look anywhere. */
function only(name, comment, from, to) {
  return {
    name,
    comment,
    severity: 'error',
    from: { path: from },
    to: { path: '^(src|vrrp|sync|test|bench)/', pathNot: [from, ...to] },
  };
}

/** Forbids a package or built-in module outside `from`. */
function confined(name, comment, modules, from) {
  return {
    name,
    comment,
    severity: 'error',
    from: { path: '^(src|vrrp|sync)/', pathNot: from },
    to: { path: modules },
  };
}

const lib = '^src/lib/';
const model = '^src/model/';
const engineInterface = '^src/engine/engine\\.ts$';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle has no bottom to start reading at, and its modules cannot be tested apart.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment:
        'A module that nobody imports and that imports nobody is dead. Entry points and lone tests are not; generated layouts list all that the C declares.',
      severity: 'error',
      from: {
        orphan: true,
        path: '^(src|vrrp|sync)/',
        pathNot: [compositionRoot, '\\.d\\.ts$', '^src/engine/xdp/layout/'],
      },
      to: {},
    },
    {
      name: 'resolvable',
      comment: 'What cannot be found is not installed or is misspelt, and every other rule would overlook it.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-packages',
      comment:
        'A package that package.json does not list is there by accident; a development one is not there at a user.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'product-knows-no-tests',
      comment: 'What is shipped cannot depend on what is not.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/' },
      to: { path: '^(test|bench)/' },
    },

    only('lib-is-a-leaf', 'src/lib knows nothing of load balancing.', lib, []),
    only('model-on-lib', 'The model is what all layers share, so it may depend on none of them.', model, [lib]),
    only('wire-on-model', 'Packet formats know packets: who sends them is not their business.', '^src/wire/', [
      lib,
      model,
    ]),
    only('scheduler-on-model', 'Schedulers compile the same tables for every engine.', '^src/scheduler/', [lib, model]),
    only('connection-on-model', 'The rules of a connection are the same in every engine.', '^src/connection/', [
      lib,
      model,
    ]),
    only(
      'configuration-language-on-model',
      'The language of the file is statements and values; it is read without knowing what any keyword means.',
      '^src/config/language/',
      [lib, model],
    ),
    only(
      'checkers-on-the-language',
      'A checker is one file, in which the reading of its block and the attempt stand together: so it may use the language.',
      '^src/health/checkers/',
      [lib, model, '^src/config/language/'],
    ),
    only(
      'config-on-lists',
      'A configuration can be checked without a director around it; which checkers and schedulers there are, their lists say.',
      '^src/config/',
      [lib, model, '^src/health/checkers/(checkers|check-options)\\.ts$', '^src/scheduler/schedulers\\.ts$'],
    ),
    only(
      'health-on-the-list-of-checkers',
      'Health checks decide whether a real server is alive without the director that acts on it, by the same rules for every checker.',
      '^src/health/(?!checkers/)',
      [lib, model, '^src/health/checkers/'],
    ),
    {
      name: 'nobody-knows-a-checker',
      comment: 'A checker comes or goes with its file and its line in the list: nothing else may depend on one.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/', pathNot: '^src/health/checkers/checkers\\.ts$' },
      to: { path: '^src/health/checkers/', pathNot: '/(checkers|checker|check-options|check-ports)\\.ts$' },
    },
    only(
      'vrrp-is-a-library',
      'vrrp/ can be used without baton. It takes four files of bytes and addresses, and the one that says what a virtual router is: a second description of it would have to be kept the same as the first.',
      '^vrrp/',
      ['^src/lib/(bytes|checksum|ip-address|result)\\.ts$', '^src/model/virtual-router\\.ts$'],
    ),
    only(
      'sync-is-a-library',
      'sync/ can be used without baton. Of src/lib it takes bytes, hashes, results and what an address is; of src/model the packed connection record, and what a virtual service is, whose fingerprint it tells its peers.',
      '^sync/',
      [
        '^src/lib/(bytes|hash|ip-address|result)\\.ts$',
        '^src/model/(configuration|connection-batch|virtual-service)\\.ts$',
      ],
    ),
    only('engine-interface-on-model', 'What an engine is must not depend on how one is made.', engineInterface, [
      lib,
      model,
    ]),
    only(
      'portable-engine',
      'The portable engine needs the rules and the wire, and gets its ports from outside.',
      '^src/engine/portable/',
      [engineInterface, lib, model, '^src/(wire|scheduler|connection)/'],
    ),
    only(
      'xdp-engine',
      'Two engines are a check on each other only while neither leans on the other.',
      '^src/engine/xdp/',
      [engineInterface, lib, model, '^src/connection/'],
    ),
    only(
      'director-on-interfaces',
      'The director reconciles through interfaces, so that it runs in a simulator; of the engines it knows the interface.',
      '^src/director/',
      ['^(vrrp|sync)/', engineInterface, lib, model, '^src/(wire|scheduler|connection|config|health)/'],
    ),
    only(
      'platform-implements',
      'Adapters implement the interfaces of inner layers; if they called the director, replacing them would be no option.',
      '^src/platform/',
      [
        lib,
        model,
        '^src/wire/',
        engineInterface,
        '^src/engine/portable/(packet-port|next-hop)\\.ts$',
        '^src/engine/xdp/kernel-routes\\.ts$',
        '^src/engine/xdp/bpf-object\\.ts$',
        '^src/director/(ports|address-plan)\\.ts$',
        '^src/health/checkers/check-ports\\.ts$',
      ],
    ),
    only(
      'succession-on-what-is-handed-over',
      'A handover record is of the election, and a predecessor of processes, descriptors and the XDP program: succession knows these and nothing that forwards or decides.',
      '^src/succession/',
      [
        lib,
        model,
        '^vrrp/state\\.ts$',
        '^src/director/address-plan\\.ts$',
        '^src/director/election/(election|election-view)\\.ts$',
        engineInterface,
        '^src/engine/xdp/(bpf-object|mailbox|mapped-array)\\.ts$',
        '^src/engine/xdp/layout/',
        '^src/platform/linux/libc\\.ts$',
        '^src/platform/linux/(bpf|process)/',
      ],
    ),
    {
      name: 'succession-for-processes',
      comment: 'Processes outlive one another; what runs inside one does not know that there was one before it.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/', pathNot: ['^src/succession/', compositionRoot] },
      to: { path: '^src/succession/' },
    },
    only(
      'control-on-the-read-model',
      'The control socket shows what the director lets be seen.',
      '^src/(control|metrics)/',
      ['^src/director/(status|view)\\.ts$', engineInterface, lib, model, '^src/(control|metrics)/'],
    ),
    only(
      'cli-is-a-client',
      'Commands talk to a running director through control, as any other tool would; `check` reads the configuration.',
      '^src/(cli|dashboard)/',
      ['^src/control/', '^src/director/status\\.ts$', engineInterface, lib, model, '^src/(config|cli|dashboard)/'],
    ),
    {
      name: 'commands-are-no-library',
      comment:
        'A thing that a command and the daemon both need belongs to neither: only the executable knows the commands.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/', pathNot: ['^src/main\\.ts$', '^src/(cli|dashboard)/'] },
      to: { path: '^src/(cli|dashboard)/' },
    },
    {
      name: 'nobody-imports-the-root',
      comment:
        'The composition root is where everything comes together; imported, it would be a second way to everything.',
      severity: 'error',
      from: { path: '^(src|vrrp|sync)/', pathNot: [compositionRoot] },
      to: { path: compositionRoot },
    },

    confined(
      'raw-socket-in-the-platform',
      'raw-socket is native and cannot be loaded in a worker thread: one adapter holds it.',
      '(^|/)node_modules/raw-socket/|^raw-socket$',
      ['^src/platform/linux/'],
    ),
    confined(
      'koffi-in-the-platform',
      'A wrong system call signature corrupts memory: they are written in one place.',
      '(^|/)node_modules/koffi/|^koffi$',
      ['^src/platform/linux/'],
    ),
    confined(
      'msgpackr-in-one-file',
      'The body of a sync message is bounded and checked where it is decoded, so it is decoded in one file.',
      '(^|/)node_modules/msgpackr/|^msgpackr$',
      ['^sync/messages/body\\.ts$'],
    ),
    confined(
      'pino-in-the-root',
      'Code logs through an interface that it is given; which logger that is, the composition root says.',
      '(^|/)node_modules/pino/|^pino$',
      [compositionRoot],
    ),
    confined(
      'io-at-the-edge',
      'Sockets, files, processes and threads belong to the edge; inside, they come in as arguments, so that the pair runs in a simulator.',
      '^(node:)?(net|dgram|dns|tls|http|https|http2|fs|fs/promises|child_process|worker_threads|cluster)$',
      [
        '^src/platform/linux/',
        '^src/(control|cli|dashboard|drill)/',
        compositionRoot,
        '^src/config/language/files\\.ts$',
        // node:net for isIPv4 and isIPv6, which open nothing.
        '^src/lib/ip-address\\.ts$',
        // The engine's thread and its handle are the two ends of one message port.
        '^src/engine/portable/(engine-thread|remote-engine)\\.ts$',
      ],
    ),
    {
      name: 'no-time-or-dice-inside',
      comment: 'vrrp, sync and the director take time and randomness as arguments: one seed replays a whole run.',
      severity: 'error',
      from: { path: '^(vrrp|sync|src/(lib|model|scheduler|connection|health|director))/' },
      to: { path: '^(node:)?(timers|timers/promises|perf_hooks)$' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'require', 'types', 'default'],
      mainFields: ['main', 'types'],
    },
  },
};
