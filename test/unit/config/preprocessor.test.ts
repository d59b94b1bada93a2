// SPDX-License-Identifier: Apache-2.0
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a parameter of keepalived.conf looks like a placeholder.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DiagnosticCollector, formatDiagnostic } from '../../../src/config/language/diagnostic.ts';
import { type Preprocessed, preprocess } from '../../../src/config/language/preprocessor.ts';
import { inMemory } from './in-memory.ts';

interface Outcome {
  readonly lines: string[];
  readonly problems: string[];
  readonly preprocessed: Preprocessed;
}

function run(
  files: string | Readonly<Record<string, string | Uint8Array>>,
  configId = 'alpha',
  path = 'main.conf',
): Outcome {
  const diagnostics = new DiagnosticCollector();
  const preprocessed = preprocess(path, {
    files: inMemory(typeof files === 'string' ? { [path]: files } : files),
    configId,
    environment: (name) => (name === 'VRID' ? '51' : undefined),
    random: () => 0.5,
    diagnostics,
  });
  return {
    lines: preprocessed.lines.map((line) => `${line.file}:${line.line}: ${line.text}`),
    problems: diagnostics.sorted(preprocessed.files).map(formatDiagnostic),
    preprocessed,
  };
}

/** Only the texts, for cases with nothing to report. */
function texts(...given: Parameters<typeof run>): string[] {
  const { lines, problems } = run(...given);
  assert.deepEqual(problems, []);
  return lines.map((line) => line.replace(/^[^ ]* /, ''));
}

describe('comments', () => {
  const cases: readonly [string, string[]][] = [
    ['# all of it', []],
    ['! all of it', []],
    ['state MASTER # the rest', ['state MASTER']],
    ['state MASTER! the rest', ['state MASTER']],
    ['  \tstate MASTER \t ', ['state MASTER']],
    ['router_id "a # b ! c" # d', ['router_id "a # b ! c"']],
    ['router_id a\\#b\\!c', ['router_id a#b!c']],
    ['script "a \\" # b"', ['script "a \\" # b"']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['\n\n', []],
  ];
  for (const [text, expected] of cases) {
    it(JSON.stringify(text), () => assert.deepEqual(texts(text), expected));
  }
});

describe('conditional lines', () => {
  const text = '@alpha priority 150\n@beta priority 100\n@^alpha nopreempt\n@^beta preempt\n@alpha\nend';
  it('keeps what is for this config id', () => {
    assert.deepEqual(texts(text, 'alpha'), ['priority 150', 'preempt', 'end']);
    assert.deepEqual(texts(text, 'beta'), ['priority 100', 'nopreempt', 'end']);
    assert.deepEqual(texts(text, 'alph'), ['nopreempt', 'preempt', 'end']);
  });
  it('points at the column in the file', () => {
    const [line] = run('  @alpha \t priority 150').preprocessed.lines;
    assert.deepEqual([line?.columns[0], line?.columns[9]], [12, 21]);
  });
});

describe('parameters', () => {
  const cases: readonly [string, string, string[]][] = [
    ['a word', '$IF=eth0\ninterface $IF', ['interface eth0']],
    ['in braces within a word', '$N=5\npriority ${N}0', ['priority 50']],
    ['late binding', '$A=$B\n$B=1\nx $A', ['x 1']],
    ['redefinition', '$A=1\nx $A\n$A=2\nx $A', ['x 1', 'x 2']],
    ['twice in a line', '$A=1\nx $A,$A', ['x 1,1']],
    ['what is not known stays', 'script "echo $HOME ${HOME}"\n$A=1\nx $AB', ['script "echo $HOME ${HOME}"', 'x $AB']],
    ['a blank before = is no definition', '$A =1', ['$A =1']],
    ['an empty value', '$A=\nx$A', ['x']],
    ['after a condition', '@alpha $A=1\n@beta $A=2\nx $A', ['x 1']],
    ['the config id', 'router_id ${_INSTANCE}', ['router_id alpha']],
    ['the directory', 'x ${_PWD}', ['x .']],
    ['the environment', 'x ${_ENV VRID}${_ENV NONE}', ['x 51']],
    ['signs of comments', 'x ${_HASH}${_BANG}', ['x #!']],
    ['several lines', '$B=state MASTER \\\n  priority 150 \\\n\n{\n$B\n}', ['{', 'state MASTER', 'priority 150', '}']],
    ['several lines begun on the next', '$B= \\\na \\\nb\n$B', ['a', 'b']],
    ['several lines only at the end of a line', '$B=a \\\nb\n$B c\nd $B', ['$B c', 'd a', 'b']],
    ['several lines within several', '$A=1 \\\n2\n$B=$A \\\n3\n$B', ['1', '2', '3']],
  ];
  for (const [name, text, expected] of cases) it(name, () => assert.deepEqual(texts(text), expected));

  it('gives substituted text the place of its reference', () => {
    const [line] = run('$IF=eth0\ninterface $IF x').preprocessed.lines;
    assert.equal(line?.text, 'interface eth0 x');
    assert.deepEqual(line?.columns.slice(9), [10, 11, 11, 11, 11, 14, 15]);
  });
  it('reports a parameter that stands for itself', () => {
    assert.deepEqual(run('$A=$B\n$B=$A\nx\n y $A').problems, [
      'main.conf:4:4: error: the parameters of this line never end: one stands for itself',
    ]);
  });
  it('reports a parameter that grows without end', () => {
    const text = `$A=${'x'.repeat(100)} $B $B\n${'$B=$A $A\n'}$A`;
    assert.deepEqual(run(text).problems, [
      'main.conf:3:1: error: the parameters of this line never end: one stands for itself',
    ]);
  });
  it('random numbers, both ends included', () => {
    assert.deepEqual(texts('x ${_RANDOM} ${_RANDOM 10} ${_RANDOM 1 5} ${_RANDOM 7 7} ${_RANDOM 9 1}'), [
      'x 16384 16389 3 7 9',
    ]);
  });
});

describe('generators', () => {
  const cases: readonly [string, string[]][] = [
    ['~SEQ(A, 0, 3) 10.0.${A}.1', ['10.0.0.1', '10.0.1.1', '10.0.2.1', '10.0.3.1']],
    ['~SEQ (A,2)x $A', ['x 1', 'x 2']],
    ['~SEQ(A, -2) x $A', ['x -1', 'x -2']],
    ['~SEQ(A, 0) x $A', ['x 1', 'x 0']],
    ['~SEQ(A, 3, 1) x $A', ['x 3', 'x 2', 'x 1']],
    ['~SEQ(A, 1, 2, 6) x $A', ['x 1', 'x 3', 'x 5']],
    ['~SEQ(A, 010, -4, +2) x $A', ['x 8', 'x 4']],
    ['~SEQx(A, 0x90, 0x10, 0xc0) fe80::${A}', ['fe80::90', 'fe80::a0', 'fe80::b0', 'fe80::c0']],
    ['~SEQ(A,1,2) ~SEQ(B,$A,2) x $A$B ${A}${B}', ['x $A1 11', 'x $A2 12', 'x $A2 22']],
    ['$N=2\n~SEQ(A, 1, $N) x $A', ['x 1', 'x 2']],
    ['$A=old\n~SEQ(A, 1, 1) x $A\nx $A', ['x 1', 'x old']],
    ['~SEQ(A, 1, 1) x $A\nx $A', ['x 1', 'x $A']],
    ['~SEQ(A, 1, 5)', []],
    ['@alpha ~SEQ(A, 1, 1) x $A\n@beta ~SEQ(A, 1, 1) y', ['x 1']],
    ['~LST(A, b, c,d) x $A', ['x b', 'x c', 'x d']],
    ['~LST({A, B}, {10,1},{20 , 4},5) x.${A}.${B}', ['x.10.1', 'x.20.4', 'x.5.']],
    ['~LST(A, 1, 2) ~SEQ(B, 8, 9) x${A}${B}', ['x18', 'x19', 'x28', 'x29']],
    ['$L=~LST(A, b, c)\n$L x $A', ['x b', 'x c']],
    ['$V=one $A \\\ntwo $A\n~SEQ(A, 1, 2) $V', ['one 1', 'two 1', 'one 2', 'two 2']],
  ];
  for (const [text, expected] of cases) it(JSON.stringify(text), () => assert.deepEqual(texts(text), expected));

  const wrong: readonly [string, string][] = [
    ['~SEQ', '~SEQ needs a list in parentheses'],
    ['~LST A', '~LST needs a list in parentheses'],
    ['~SEQ(A, 1', '~SEQ lacks its closing parenthesis'],
    ['~SEQ(A) x', '~SEQ must be ~SEQ(NAME, START, STEP, END)'],
    ['~SEQ(1, 2) x', '~SEQ must be ~SEQ(NAME, START, STEP, END)'],
    ['~SEQ(A, b) x', '~SEQ takes up to three whole numbers: START, STEP, END'],
    ['~SEQ(A, 1, 2, 3, 4) x', '~SEQ takes up to three whole numbers: START, STEP, END'],
    ['~SEQ(A, 1, 0, 3) x', '~SEQ never comes from 1 to 3 by 0'],
    ['~SEQ(A, 1, -1, 3) x', '~SEQ never comes from 1 to 3 by -1'],
    ['~SEQx(A, -1, 3) x', '~SEQx has no negative numbers'],
    ['~LST(A) x', '~LST must be ~LST(NAME, VALUE, …) or ~LST({NAME, …}, {VALUE, …}, …)'],
    ['~LST({A, 1) x', '~LST must be ~LST(NAME, VALUE, …) or ~LST({NAME, …}, {VALUE, …}, …)'],
    ['~LST({A, B}, {1, 2, 3}) x', '~LST has a row with more values than names'],
  ];
  for (const [text, said] of wrong) {
    it(`refuses ${text}`, () => assert.deepEqual(run(text).problems, [`main.conf:1:1: error: ${said}`]));
  }
  it('ends, however much it is asked for', () => {
    const tooLarge = 'main.conf:1:1: error: the configuration is too large once its parameters are replaced';
    for (const text of ['~SEQ(A, 99999999999) x', '~SEQ(A,9999) ~SEQ(B,9999) ~SEQ(C,9999) x']) {
      const { problems, lines } = run(text);
      assert.deepEqual(
        problems.map((problem) => problem.replace(/:1:\d+:/, ':1:1:')),
        [tooLarge],
      );
      assert.ok(lines.length <= 200_000);
    }
    assert.match(run('$A=~SEQ(B,9) $A\n$A x').problems.at(-1) ?? '', /: error: \d+ more are not shown$/);
  });
  it('points at the place in the file', () => {
    const [line] = run('  ~SEQ(A, 7, 7) x $A').preprocessed.lines;
    assert.deepEqual([line?.text, line?.columns], ['x 7', [17, 18, 19]]);
  });
});

describe('include', () => {
  it('takes the files of a pattern in order, relative to the including file', () => {
    const files = {
      'etc/main.conf': 'a\ninclude conf.d/*.conf\nb',
      'etc/conf.d/2.conf': 'two',
      'etc/conf.d/1.conf': 'one\ninclude ../more.conf',
      'etc/conf.d/.hidden.conf': 'no',
      'etc/conf.d/1.bak': 'no',
      'etc/more.conf': 'more',
    };
    const { lines, problems, preprocessed } = run(files, 'alpha', 'etc/main.conf');
    assert.deepEqual(problems, []);
    assert.deepEqual(lines, [
      'etc/main.conf:1: a',
      'etc/conf.d/1.conf:1: one',
      'etc/conf.d/../more.conf:1: more',
      'etc/conf.d/2.conf:1: two',
      'etc/main.conf:3: b',
    ]);
    assert.deepEqual(preprocessed.files, [
      'etc/main.conf',
      'etc/conf.d/1.conf',
      'etc/conf.d/../more.conf',
      'etc/conf.d/2.conf',
    ]);
  });
  it('knows braces, classes and question marks', () => {
    const files = { 'a1.conf': 'a1', 'b2.conf': 'b2', 'b3.conf': 'b3', 'c4.conf': 'c4' };
    assert.deepEqual(texts({ ...files, 'main.conf': 'include {b,a}?.conf' }), ['b2', 'b3', 'a1']);
    assert.deepEqual(texts({ ...files, 'main.conf': 'include [a-b][^2].conf' }), ['a1', 'b3']);
  });
  it('comes after conditions and parameters', () => {
    const files = {
      'main.conf': '$F=one\n@alpha include $F.conf\n@alpha include ${F}.conf\n@beta include two.conf',
      'one.conf': '1',
    };
    assert.deepEqual(run(files).lines, ['one.conf:1: 1']);
    assert.deepEqual(run(files).problems, ['main.conf:2:16: error: cannot include $F.conf: it does not exist']);
  });
  it('reports a missing file, but a pattern without a match only on request', () => {
    assert.deepEqual(
      run('include no.conf\ninclude no/*.conf\nincludew no/*.conf\nincludea x{y}*\nincluder {a,b}.conf').problems,
      [
        'main.conf:1:9: error: cannot include no.conf: it does not exist',
        'main.conf:3:10: error: no file matches no/*.conf',
        'main.conf:4:10: error: no file matches x{y}*',
        'main.conf:5:10: error: cannot include a.conf: it does not exist',
        'main.conf:5:10: error: cannot include b.conf: it does not exist',
      ],
    );
  });
  it('ends when files include each other', () => {
    const { problems } = run({ 'main.conf': 'include main.conf' });
    assert.deepEqual(problems, ['main.conf:1:9: error: files include each other more than 16 deep']);
  });
  it('ends when files include each other more than once', () => {
    const { problems } = run({ 'main.conf': 'include main.conf\ninclude main.conf' });
    assert.ok(problems.includes('main.conf:2:9: error: cannot include main.conf: it is one of more than 512 files'));
  });
});

describe('what is not text', () => {
  it('reports NUL bytes and leaves the line out', () => {
    const { lines, problems } = run('a\nb\0c\nd');
    assert.deepEqual(lines, ['main.conf:1: a', 'main.conf:3: d']);
    assert.deepEqual(problems, ['main.conf:2:2: error: the line holds a NUL byte']);
  });
  it('reports a line that is too long', () => {
    assert.deepEqual(run(`a\n${'x'.repeat(8193)}\nb`).problems, [
      'main.conf:2:1: error: the line is longer than 8192 characters',
    ]);
  });
  it('reports a file that is too large', () => {
    const { preprocessed } = run({ 'main.conf': new Uint8Array(4 * 1024 * 1024 + 1) });
    assert.equal(preprocessed.unreadable, 'cannot read main.conf: it is larger than 4194304 bytes');
  });
});
