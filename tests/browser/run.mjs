// Runs the tests of the HTML report in Chromium with playwright-core, an npm package that is downloaded once.
//
// Usage: node run.mjs PROGRAM CHROMIUM PACKAGES-DIR
// Exits with 77 if the package is not available, or if the program cannot write pages.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [program, chromium, packages] = process.argv.slice(2);
const driver = 'playwright-core@1.61.1';

function skip(why) {
  console.log(`Skipped: ${why}`);
  process.exit(77);
}

const installed = resolve(packages, 'node_modules/playwright-core/index.js');
if (!existsSync(installed)) {
  mkdirSync(packages, { recursive: true });
  const npm = spawnSync(
    'npm',
    ['install', '--silent', '--no-save', '--no-audit', '--no-fund', '--fetch-retries=1', '--prefix', packages, driver],
    { encoding: 'utf8' },
  );
  if (npm.status !== 0 || !existsSync(installed))
    skip(`npm could not fetch ${driver}. ${npm.stderr ?? ''}${npm.error ?? ''}`);
}
const bare = spawnSync(program, ['report', 'nothing.jsonl', '--html', 'nothing.html'], {
  encoding: 'utf8',
  cwd: packages,
});
if (bare.stderr.includes('built without HTML reports')) skip('the program was built without uPlot');

const tests = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, 'report.test.mjs');
const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', tests], {
  stdio: 'inherit',
  env: { ...process.env, SLUICE: resolve(program), CHROMIUM: chromium, PLAYWRIGHT: installed },
});
process.exit(run.status ?? 1);
