// Runs the tests of the HTML report and of the server's page in Chromium with playwright-core, an npm package that is downloaded once.
//
// Usage: node run.mjs PROGRAM CHROMIUM PACKAGES-DIR
// Exits with 77 if the package is not available. Without uPlot there are no reports to test.
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
const here = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
const tests = [join(here, 'server.test.mjs')];
if (bare.stderr.includes('built without HTML reports'))
  console.log('Without reports: the program was built without uPlot');
else tests.push(join(here, 'report.test.mjs'));

const run = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...tests], {
  stdio: 'inherit',
  env: { ...process.env, SLUICE: resolve(program), CHROMIUM: chromium, PLAYWRIGHT: installed },
});
process.exit(run.status ?? 1);
