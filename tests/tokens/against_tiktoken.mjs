// Compares the tokenizer's ids with those of tiktoken: for every code point, for random mixes of many kinds,
// and for the files of the project. tiktoken is an npm package (its Rust core as wasm), downloaded once.
//
// Usage: node against_tiktoken.mjs TOKEN-IDS-PROGRAM PACKAGES-DIR SOURCE-DIR [SEED]
// Exits with 77 if the package is not available.
import { spawnSync } from 'node:child_process';
import { mkdirSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const [program, packages, sources, seed = '1'] = process.argv.slice(2);
const rounds = process.env.SLUICE_NIGHTLY ? 5000 : 1000;  // of random texts

function tiktoken() {
  const module = resolve(packages, 'node_modules/tiktoken/tiktoken.cjs');
  if (!existsSync(module)) {
    mkdirSync(packages, { recursive: true });
    const npm = spawnSync('npm', ['install', '--silent', '--no-save', '--no-audit', '--no-fund', '--fetch-retries=1',
      '--prefix', packages, 'tiktoken@1.0.22'], { encoding: 'utf8' });
    if (npm.status !== 0 || !existsSync(module)) {
      console.log(`Skipped: npm could not fetch tiktoken@1.0.22. ${npm.stderr ?? ''}${npm.error ?? ''}`);
      process.exit(77);
    }
  }
  return createRequire(import.meta.url)(module);
}

// Random numbers from a seed (mulberry32).
let state = Number(seed);
function random(below) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % below;
}
const one = (list) => list[random(list.length)];
const some = (most, make) => Array.from({ length: 1 + random(most) }, make).join('');

const isSurrogate = (point) => point >= 0xd800 && point <= 0xdfff;
function anyPoint(below = 0x110000) {
  for (;;) {
    const point = random(below);
    if (!isSurrogate(point)) return String.fromCodePoint(point);
  }
}
const between = (first, last) => () => String.fromCodePoint(first + random(last - first + 1));
const matching = (pattern) => {
  const found = [];
  for (let point = 0; point < 0x110000; ++point) {
    const character = isSurrogate(point) ? '' : String.fromCodePoint(point);
    if (pattern.test(character)) found.push(character);
  }
  return () => one(found);
};

const spaces = ['\t', '\n', '\v', '\f', '\r', ' ', '\u0085', '\u00a0', '\u1680', '\u180e', '\u2000', '\u2003', '\u200b',
  '\u200d', '\u2028', '\u2029', '\u202f', '\u205f', '\u2060', '\u3000', '\ufeff', '\r\n', '\n\n', '  ', '    '];
const contractions = ["'s", "'S", "'\u017f", "'t", "'T", "'re", "'rE", "'Re", "'RE", "'ve", "'Ve", "'m", "'M", "'ll",
  "'lL", "'LL", "'d", "'D", "'", "''", "'r", "'l", "'v", "'x", "\u2019s", "'\u212a", "'K"];
const words = ['the', ' the', 'The', ' THE', 'token', ' Tokenizer', 'HTMLParser', 'iPhone', 'ΑΒγδ', 'Ǆungla', 'ǅ', 'straße',
  'ﬁn', 'Москва', ' москва', 'ʰʷ', 'ªº', 'İstanbul', 'שלום', ' مرحبا', 'नमस्ते', ' दुनिया', 'สวัสดีชาวโลก', '안녕하세요', 'こんにちは',
  'カタカナ', '人工智能', '鲁迅为什么打周树人', 'e\u0301', '\u0301', 'A\u0301', '\u0301A', '\u0301\u0302BC', '漢ABC', 'ABC漢d',
  '<|endoftext|>', '<|im_start|>'];
const numbers = ['1', '12', '123', '1234', '1234567890', '٣', '٣٤٥٦', '१२३', '½', 'Ⅷ', '一', '²', '𝟘𝟙', '①'];
const marks = ['.', ',', '!', '?', '...', ' -', '--', '/', '//', ' //', '/\n', '!/\r\n/', '{', '}', '("', '":', '",', '=>', '->',
  '::', ';\n', ');\n\n', '。', '，', '、', '「', '€', '™', '\\n', '\u0000', '\u007f', '<', '&', '#', '@'];
const emoji = ['😀', '👍🏽', '👨‍👩‍👧‍👦', '🏳️‍🌈', '🇨🇳', '1️⃣', '❤️', '\ufe0f', '🤖'];

const pools = [spaces, contractions, words, numbers, marks, emoji].map((pool) => () => one(pool));
const scripts = [between(0x20, 0x7e), between(0xa0, 0x24f), between(0x300, 0x36f), between(0x370, 0x52f), between(0x590, 0x6ff),
  between(0x900, 0xdff), between(0xe00, 0xe7f), between(0x1e00, 0x1fff), between(0x2000, 0x2bff), between(0x3000, 0x30ff),
  between(0x4e00, 0x9fff), between(0xac00, 0xd7a3), between(0x1f300, 0x1faff), between(0x1d400, 0x1d7ff)];
const categories = ['Lu', 'Ll', 'Lt', 'Lm', 'Lo', 'Mn', 'Mc', 'Nd', 'Nl', 'No', 'P', 'S', 'Zs', 'C']
  .map((name) => matching(new RegExp(`^\\p{${name}}$`, 'u')));

function* texts(encodings) {
  for (let first = 0; first < 0x110000; first += 128) {
    let text = '';
    for (let point = first; point < first + 128; ++point) {
      if (isSurrogate(point)) continue;
      const c = String.fromCodePoint(point);
      text += `${c}a${c}B${c}1 ${c}.${c}${c}\n`;
    }
    yield text;
  }
  for (const space of spaces) {
    for (const other of [...spaces, 'a', 'A', '1', '.', "'s", '']) {
      yield `${space}${other}${space}${space}${other}x${other}${space}`;
      yield `a${space}${other}`;
    }
  }
  for (const contraction of contractions) {
    for (const word of [...words, ...numbers, ...marks, ...spaces]) {
      yield `${word}${contraction}${word} ${contraction}${contraction}`;
    }
  }
  for (let i = 0; i < rounds; ++i) {
    yield some(30, () => one(pools)());
    yield some(40, one(scripts));
    yield some(30, () => one(scripts)());
    yield some(30, () => one(categories)());
    yield some(20, () => some(4, one(categories)));
    yield some(12, () => one([one(pools)(), one(categories)(), anyPoint(), anyPoint(0x10000), one(['s', 'S', 'a', 'Z', ' '])]));
    const few = [one(categories)(), one(scripts)(), one(one([spaces, words, marks]))];
    yield some(40, () => one(few));
    // Random sequences of tokens.
    for (const encoding of encodings) {
      const ids = Uint32Array.from({ length: 1 + random(20) }, () => random(random(2) ? 100000 : 3000));
      const text = new TextDecoder().decode(encoding.decode(ids));
      yield random(2) ? text : text.replace(/[^\p{L}]/gu, '');
    }
    yield some(60, () => one('abcdefghijklmnopqrstuvwxyz'));
    yield some(60, () => one('abAB'));
  }
  for (const unit of ['a', 'A', ' ', '\n', '\t', ' \n', 'ab', '1', '!', '=', '-', '/', '国', '人工智能', '😀', '\u0301', 'е', 'กา', ' a']) {
    for (const length of [2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 5000]) {
      yield unit.repeat(length);
      yield `x${unit.repeat(length)}y`;
    }
  }
  for (const length of [300, 3000]) {
    for (let i = 0; i < 20; ++i) {
      for (const make of [() => one('abcdefghijklmnopqrstuvwxyz'), () => one('aab'), scripts[10], scripts[6], scripts[11],
        () => one(words).trim(), () => one(categories)()]) {
        yield Array.from({ length }, make).join('');
      }
    }
  }
  for (const folder of ['.', 'src', 'tests', 'jobs', 'bench']) {
    for (const entry of readdirSync(join(sources, folder), { withFileTypes: true })) {
      if (entry.isFile()) yield new TextDecoder().decode(readFileSync(join(sources, folder, entry.name)));
    }
  }
}

const peer = tiktoken();
const names = ['cl100k_base', 'o200k_base'];
const encodings = names.map((name) => peer.get_encoding(name));
let compared = 0;
let bytes = 0;
let differing = 0;

function compare(batch) {
  for (const [which, name] of names.entries()) {
    const input = batch.flatMap((text) => {
      const utf8 = Buffer.from(text);
      return [Buffer.from(`${name} ${utf8.length}\n`), utf8];
    });
    const run = spawnSync(program, { input: Buffer.concat(input), encoding: 'utf8', maxBuffer: 1 << 30 });
    if (run.status !== 0) throw new Error(`${program} ended with ${run.status ?? run.signal}: ${run.stderr}`);
    const lines = run.stdout.split('\n');
    for (const [i, text] of batch.entries()) {
      const expected = encodings[which].encode_ordinary(text).join(' ');
      if (lines[i] === expected) continue;
      if (++differing > 10) continue;
      console.log(`${name}: ${JSON.stringify(text.slice(0, 300))}\n  tiktoken ${expected.slice(0, 300)}\n  here     ${lines[i].slice(0, 300)}`);
    }
  }
  compared += batch.length;
  bytes += batch.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}

let batch = [];
for (const text of texts(encodings)) {
  batch.push(text.toWellFormed());
  if (batch.length < 10000) continue;
  compare(batch);
  batch = [];
}
compare(batch);
console.log(`${compared} texts, ${bytes} bytes, two vocabularies, seed ${seed}: ${differing} differ`);
process.exit(differing === 0 ? 0 : 1);
