// Tests the HTML report in a browser: it needs no other files, draws its plots, shows the numbers of the document, and
// works with a keyboard, with a screen reader, in dark mode and on paper.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { target, targets } from './bench_document.mjs';
import {
  colour,
  contrast,
  folder,
  open,
  pageOf,
  pixels,
  places,
  settled,
  sluice,
  start,
  stop,
  table,
} from './opened_page.mjs';

const limit = {
  kind: 'sliding',
  rpm: 200,
  burst: 200,
  at_least: 198,
  at_most: 201,
  ceiling: 600,
  requests: 420,
  refused: 12,
  cost_usd: '0.0041',
  evidence: 'the 201st was refused',
  stopped: null,
};
const documents = {
  loads: { ...target(), limit },
  single: target({ loads: [8], rpm: 0 }),
  open: target({ rate: [60, 240], rpm: 0, seed: 5 }),
  targets: targets('gpt-4o-mini', [
    { name: 'blue', loads: [2, 16] },
    { name: 'green', seed: 2, ttft: 0.4, failing: 0.06, loads: [2, 16] },
    { name: 'amber', seed: 3, loads: [2, 16] },
  ]),
  side: targets('gpt-4o-mini', [
    { name: 'blue', loads: [4] },
    { name: 'green', seed: 2, loads: [4] },
  ]),
};
const pages = {};

function job(name, lines, ...more) {
  writeFileSync(
    join(folder, `${name}.jsonl`),
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  );
  const run = sluice(
    'run',
    `${name}.jsonl`,
    '--simulate=faulty',
    '--seed',
    3,
    '--rpm',
    0,
    '--max-attempts',
    1,
    '--idle-timeout',
    '1s',
    '-q',
    ...more,
  );
  assert.ok([0, 1].includes(run.status), run.stderr);
}
const lines = (count, models) =>
  Array.from({ length: count }, (_, i) => ({
    custom_id: `row-${i}`,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: models[i % models.length], messages: [{ role: 'user', content: `question ${i}` }], max_tokens: 20 },
  }));

before(async () => {
  for (const [name, document] of Object.entries(documents)) pages[name] = pageOf(name, document);
  job('mixed', [...lines(60, ['gpt-4o-mini', 'gpt-4', 'no-such-model']), '{"broken"']);
  job('small', lines(12, ['gpt-4o']));
  job('shaped', lines(4, ['gpt-4o']), '--expect', 'json');
  for (const [name, ...jobs] of [
    ['job', 'mixed.jsonl'],
    ['jobs', 'mixed.jsonl', 'small.jsonl'],
    ['shaped', 'shaped.jsonl'],
  ]) {
    const run = sluice('report', ...jobs, '--rpm', 100, '--html', `${name}.html`);
    assert.equal(run.status, 0, run.stderr);
    pages[name] = join(folder, `${name}.html`);
  }
  const bench = sluice(
    'bench',
    '--simulate',
    '--model',
    'gpt-4o-mini',
    '--concurrency',
    '2,8',
    '--requests',
    16,
    '--max-tokens',
    20,
    '--rpm',
    0,
    '-q',
    '--json',
    '--html',
    'bench.html',
  );
  assert.equal(bench.status, 0, bench.stderr);
  documents.bench = JSON.parse(bench.stdout);
  pages.bench = join(folder, 'bench.html');
  await start();
});
after(stop);

const everyPage = ['loads', 'single', 'open', 'targets', 'side', 'job', 'jobs', 'bench'];

/// Opens the table of a plot and waits until it is filled.
async function opened(page, id) {
  await page.locator(`#figure-${id} summary`).click();
  await page.locator(`table[data-table="plot-${id}"]`).waitFor();
}

/// The document inside a page.
const held = (page) => page.evaluate(() => JSON.parse(document.getElementById('document').textContent));
const totals = (name) => JSON.parse(readFileSync(join(folder, `${name}.totals.json`), 'utf8'));
const values = (row) => row.map((cell) => cell.value);
const quantiles = (stats) => ['p50', 'p90', 'p99'].map((share) => String(stats[share]));

test('the random documents have the format of bench', (context) => {
  const schema = new URL('../../docs/bench.schema.json', import.meta.url).pathname;
  const check =
    'import json, sys, jsonschema\nschema = json.load(open(sys.argv[1]))\nfor document in json.load(sys.stdin): jsonschema.validate(document, schema)';
  const run = spawnSync('python3', ['-c', check, schema], {
    input: JSON.stringify(Object.values(documents)),
    encoding: 'utf8',
  });
  if (run.error || run.stderr.includes('ModuleNotFoundError'))
    return context.skip('python3 with jsonschema is not here');
  return assert.equal(run.status, 0, run.stderr);
});

describe('opened from the disk, without a network', () => {
  for (const name of everyPage) {
    test(`${name}: there are no errors, and everything is in one file`, async () => {
      const page = await open(pages[name]);
      assert.deepEqual(page.faults, []);
      assert.equal((await page.locator('main section').count()) > 5, true);
      assert.equal(await page.locator('canvas').count(), await page.locator('figure').count());
      assert.ok((await page.locator('figure').count()) >= 6);
      await page.leave();
    });
  }

  test('only its owner may read it, like results, unless --mode allows more', () => {
    assert.equal(statSync(pages.job).mode & 0o777, 0o600);
    assert.equal(sluice('report', 'small.jsonl', '--html', 'shared.html', '--mode', '0644').status, 0);
    assert.equal(statSync(join(folder, 'shared.html')).mode & 0o777, 0o644);
  });
});

describe('plots, by the pixels of a screenshot', () => {
  const every = ['light', 'dark'].flatMap((scheme) =>
    ['loads', 'targets', 'job', 'jobs'].map((name) => [name, scheme]),
  );
  const some = [
    ['loads', 'light'],
    ['jobs', 'dark'],
  ];
  for (const [name, scheme] of process.env.SLUICE_NIGHTLY ? every : some) {
    test(`${name}, ${scheme}: each series is drawn in its colour`, async () => {
      const page = await open(pages[name], { scheme, density: 2 });
      for (const figure of await page.locator('figure').all()) {
        const title = await figure.locator('figcaption strong').textContent();
        const shades = await figure
          .locator('.legend line')
          .evaluateAll((all) => all.map((line) => line.style.stroke.match(/--[a-z0-9-]+/)[0]));
        const image = await pixels(page, figure.locator('.plot'));
        for (const shade of new Set(shades)) {
          const drawn = places(image, await colour(page, shade));
          assert.ok(drawn.length > 10, `${title}: ${shade} has ${drawn.length} pixels`);
        }
      }
      await page.leave();
    });
  }

  test('the limit is a horizontal line over the whole width, at its value on the axis', async () => {
    const page = await open(pages.loads);
    const plot = page.locator('#figure-time-0-minute .plot');
    const image = await pixels(page, plot);
    const box = await plot.locator('.u-over').evaluate((over) => ({
      left: over.offsetLeft,
      top: over.offsetTop,
      width: over.offsetWidth,
      height: over.offsetHeight,
    }));
    const ink = await colour(page, '--cap');
    const inside = places(image, ink, 40).filter(
      ({ x, y }) => x > box.left + 2 && x < box.left + box.width && y > box.top + 16 && y < box.top + box.height - 2,
    );
    const rows = new Set(inside.map(({ y }) => y));
    assert.ok(rows.size >= 1 && rows.size <= 4, `ink in the rows ${[...rows]}`);
    const columns = new Set(inside.map(({ x }) => x));
    assert.ok(columns.size > box.width * 0.5, `${columns.size} of ${box.width} columns`);
    assert.ok(Math.max(...columns) - Math.min(...columns) > box.width * 0.95);
    // The starts reach the limit but do not exceed it: the highest pixel of "succeeded" is just below the line.
    const level = Math.min(...rows);
    const blue = places(image, await colour(page, '--good')).filter(({ x, y }) => x > box.left && y > box.top + 16);
    const top = Math.min(...blue.map(({ y }) => y));
    assert.ok(top >= level - 3 && top < level + 12, `cap at ${level}, the highest at ${top}`);
    await page.leave();
  });

  test('without a limit there is no line', async () => {
    const page = await open(pages.single);
    const legend = await page.locator('#figure-time-0-minute .legend').textContent();
    assert.ok(!legend.includes('cap'));
    await page.leave();
  });

  test('the width follows the window', async () => {
    const page = await open(pages.loads);
    await page.setViewportSize({ width: 390, height: 800 });
    await settled(page);
    await page.waitForFunction(() => [...document.querySelectorAll('.uplot')].every((plot) => plot.offsetWidth <= 390));
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
    assert.deepEqual(page.faults, []);
    await page.leave();
  });

  test('the legend shows the values under the pointer', async () => {
    const page = await open(pages.loads);
    const over = page.locator('#figure-time-0-rate .u-over');
    await over.scrollIntoViewIfNeeded();
    await over.hover();
    assert.match(await page.locator('#figure-time-0-rate .reading').first().textContent(), /\d/);
    await page.leave();
  });
});

describe('numbers equal the document’s', () => {
  test('of a benchmark, load by load', async () => {
    const page = await open(pages.loads);
    assert.deepEqual(await held(page), documents.loads);
    const { rows } = await table(page, 'loads');
    assert.equal(rows.length, documents.loads.loads.length);
    documents.loads.loads.forEach((load, at) => {
      assert.equal(rows[at][0].text, `${load.concurrency} in flight`);
      assert.deepEqual(
        values(rows[at]).slice(1),
        [load.requests, load.failed, load.throttled, load.requests_per_s, load.output_tokens_per_s]
          .map(String)
          .concat(quantiles(load.ttft_ms), quantiles(load.inter_token_ms), quantiles(load.latency_ms), load.cost_usd),
      );
      assert.equal(rows[at].at(-1).text, `$${load.cost_usd}`);
      assert.ok(Math.abs(Number(rows[at][6].text.replaceAll(',', '')) / load.ttft_ms.p50 - 1) < 0.01);
    });
    await page.leave();
  });

  test('of a new benchmark', async () => {
    const page = await open(pages.bench);
    assert.deepEqual(await held(page), documents.bench);
    const { rows } = await table(page, 'loads');
    assert.deepEqual(
      rows.map((row) => row.at(-1).value),
      documents.bench.loads.map((load) => load.cost_usd),
    );
    assert.match(await page.locator('#summary').textContent(), /A simulated relay answered/);
    await page.leave();
  });

  test('each model’s cost is the exact sum over the loads, and the total is the sum of all', async () => {
    const page = await open(pages.loads);
    const units = (text) => BigInt(text.split('.')[0] + (text.split('.')[1] ?? '').padEnd(8, '0'));
    const total = (texts) => texts.reduce((sum, text) => sum + units(text), 0n);
    const { rows } = await table(page, 'cost');
    assert.deepEqual(
      rows.map((row) => row[0].text),
      ['gpt-4o-mini', 'gpt-4o-mini-2024-07-18'],
    );
    for (const row of rows) {
      const shares = documents.loads.loads.map((load) => load.models[row[0].text]);
      assert.equal(units(row.at(-2).value), total(shares.map((share) => share.cost_usd)));
      assert.equal(
        Number(row[1].value),
        shares.reduce((sum, share) => sum + share.requests, 0),
      );
    }
    const tile = await page
      .locator('.tiles div', { hasText: 'Cost, of all' })
      .locator('.value')
      .getAttribute('data-value');
    assert.equal(units(tile), total(documents.loads.loads.map((load) => load.cost_usd)));
    await page.leave();
  });

  test('of several targets side by side, with the best one marked', async () => {
    const page = await open(pages.targets);
    for (const [number, key] of [2, 16].entries()) {
      const { caption, rows } = await table(page, `comparison-${number}`);
      assert.match(caption, new RegExp(`^At ${key} in flight`));
      const loads = documents.targets.targets.map((one) => one.loads.find((load) => load.concurrency === key));
      const row = (title) => rows.find(([head]) => head.text === title).slice(1);
      assert.deepEqual(
        values(row('TTFT, median (ms)')),
        loads.map((load) => String(load.ttft_ms.p50)),
      );
      assert.deepEqual(
        values(row('Cost (USD)')),
        loads.map((load) => load.cost_usd),
      );
      const best = loads.map((load) => load.ttft_ms.p50).indexOf(Math.min(...loads.map((load) => load.ttft_ms.p50)));
      assert.deepEqual(
        row('TTFT, median (ms)').map((cell) => cell.text.includes('(best)')),
        loads.map((_, at) => at === best),
      );
    }
    await page.leave();
  });

  test('slowest and failed requests, by id', async () => {
    const page = await open(pages.loads);
    const slowest = documents.loads.loads
      .flatMap((load) => load.slowest)
      .sort((a, b) => b.latency_ms - a.latency_ms)
      .slice(0, 10);
    const failed = documents.loads.loads.flatMap((load) => load.failures);
    const ids = async (name) => (await table(page, name)).rows.map((row) => row[0].text);
    assert.deepEqual(
      await ids('slowest'),
      slowest.map((one) => one.id),
    );
    assert.deepEqual(
      await ids('failures'),
      failed.map((one) => one.id),
    );
    assert.ok(
      (await table(page, 'failures')).rows.every((row, at) => row.some((cell) => cell.text === failed[at].message)),
    );
    assert.ok(failed.some((one) => one.request_id === ''));
    assert.ok((await table(page, 'failures')).rows.every((row) => row.every((cell) => cell.text !== '')));
    const errors = (await table(page, 'errors')).rows.map((row) => [row[1].text, Number(row[2].value)]);
    assert.deepEqual(errors.sort(), documents.loads.loads.flatMap((load) => Object.entries(load.errors)).sort());
    await page.leave();
  });

  test('the numbers of a plot are those of the timeline', async () => {
    const page = await open(pages.single);
    const load = documents.single.loads[0];
    await opened(page, 'time-0-minute');
    const { rows } = await table(page, 'plot-time-0-minute');
    const running = load.timeline.started.map((_, at) =>
      load.timeline.started.slice(Math.max(0, at - 59), at + 1).reduce((a, b) => a + b, 0),
    );
    assert.deepEqual(
      rows.map((row) => Number(row[1].value)),
      [0, ...running],
    );
    await opened(page, 'latency_ms-cdf');
    const cdf = (await table(page, 'plot-latency_ms-cdf')).rows.map((row) => [
      Number(row[0].value),
      Number(row[1].value),
    ]);
    const median = cdf.find(([, share]) => share >= 50)[0];
    assert.ok(Math.abs(median / load.latency_ms.p50 - 1) < 0.012, `${median} beside ${load.latency_ms.p50}`);
    assert.equal(cdf.at(-1)[1], 100);
    await page.leave();
  });

  test('of a job: its totals, and the lines of its results', async () => {
    const page = await open(pages.job);
    const expected = totals('mixed');
    assert.deepEqual((await held(page)).jobs[0].totals, expected);
    const [row] = (await table(page, 'jobs')).rows;
    assert.deepEqual(
      values(row).slice(2),
      [
        expected.requests,
        expected.succeeded,
        expected.failed,
        expected.pending,
        expected.attempts,
        expected.wall_s,
        expected.tokens.prompt,
        expected.tokens.completion,
      ]
        .map(String)
        .concat(quantiles(expected.ttft_ms), quantiles(expected.latency_ms))
        .concat(String(expected.cache.read_share), expected.cache.saved_usd, expected.cost_usd),
    );
    const cost = Object.fromEntries((await table(page, 'cost')).rows.map((each) => [each[0].text, each.at(-2).value]));
    assert.deepEqual(
      cost,
      Object.fromEntries(Object.entries(expected.models).map(([model, share]) => [model, share.cost_usd])),
    );
    const errors = Object.fromEntries(
      (await table(page, 'errors')).rows.map((each) => [each[0].text, Number(each[1].value)]),
    );
    assert.deepEqual(errors, expected.errors);
    const output = readFileSync(join(folder, 'mixed.output.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const slowest = output
      .sort((a, b) => b.sluice.latency_ms - a.sluice.latency_ms || a.sluice.line - b.sluice.line)
      .slice(0, 10)
      .map((line) => line.custom_id);
    assert.deepEqual(
      (await table(page, 'slowest')).rows.map((each) => each[0].text),
      slowest,
    );
    const { timeline } = (await held(page)).jobs[0];
    assert.equal(
      timeline.succeeded.reduce((a, b) => a + b, 0),
      expected.succeeded,
    );
    assert.equal(
      timeline.output_tokens.reduce((a, b) => a + b, 0),
      expected.tokens.completion,
    );
    await page.leave();
  });

  test('of a job whose replies were rejected', async () => {
    const page = await open(pages.shaped);
    const { rejected } = totals('shaped');
    assert.ok(rejected.replies > 4);
    const notes = (await page.locator('.note').allTextContents()).join('\n');
    assert.ok(
      notes.includes(
        `${rejected.replies} replies were rejected (--expect). They were billed all the same: $${rejected.cost_usd} of the cost.`,
      ),
      notes,
    );
    await page.leave();
  });

  test('of several jobs', async () => {
    const page = await open(pages.jobs);
    const { rows } = await table(page, 'jobs');
    assert.deepEqual(
      rows.map((row) => row[0].text),
      ['mixed.jsonl', 'small.jsonl'],
    );
    assert.deepEqual(
      rows.map((row) => row.at(-1).value),
      ['mixed', 'small'].map((name) => totals(name).cost_usd),
    );
    await page.leave();
  });
});

describe('documents with little data', () => {
  const dead = target({ loads: [2], failing: 1, count: 9 });
  for (const key of [
    'ttft_ms',
    'inter_token_ms',
    'latency_ms',
    'output_tokens_per_s',
    'cost_usd',
    'connect_ms',
    'ttfb_ms',
  ])
    dead.loads[0][key] = null;
  const unstreamed = target({ loads: [2], count: 5 });
  Object.assign(unstreamed.loads[0], {
    ttft_ms: null,
    inter_token_ms: null,
    first_content_ms: null,
    histograms: { latency_ms: unstreamed.loads[0].histograms.latency_ms },
    rpm: 0,
  });
  const poor = {
    nothing: { ...target({ loads: [] }), stopped: 'the target is down' },
    'no targets': { model: 'gpt-4o-mini', targets: [] },
    'one of two': {
      model: 'gpt-4o-mini',
      targets: [target({ name: 'blue', loads: [4] }), { ...target({ name: 'green', loads: [] }), stopped: 'refused' }],
    },
    'a limit alone': { ...target({ loads: [] }), limit },
    'no limit': {
      ...target({ loads: [] }),
      limit: {
        ...limit,
        kind: 'none_found',
        rpm: null,
        burst: null,
        at_least: 600,
        at_most: null,
        stopped: 'the budget is used up',
      },
    },
    bare: { target: 'x', model: 'm', loads: [{ concurrency: 1, requests: 0, succeeded: 0, failed: 0 }] },
    'all failed': dead,
    unstreamed,
    'one request': target({ loads: [1], count: 1, failing: 0 }),
    'other loads': {
      model: 'gpt-4o-mini',
      targets: [
        target({ name: 'a', loads: [1, 2], count: 20 }),
        target({ name: 'b', loads: [2, 4], count: 20 }),
        target({ name: 'c', rate: [30], count: 20 }),
      ],
    },
    'seven targets': targets(
      'gpt-4o-mini',
      Array.from({ length: 7 }, (_, seed) => ({ name: `t${seed}`, seed, loads: [2], count: 12 })),
    ),
  };
  for (const [name, document] of Object.entries(poor)) {
    test(name, async () => {
      const page = await open(pageOf(name.replaceAll(' ', '-'), document));
      assert.deepEqual(page.faults, []);
      assert.ok((await page.locator('main h2').count()) >= 1);
      assert.doesNotMatch(await page.locator('body').innerText(), /undefined|NaN|\[object|Infinity|null/);
      await page.leave();
    });
  }

  test('a limit that was found comes first', async () => {
    const page = await open(pageOf('limit', poor['a limit alone']));
    assert.equal(
      await page.locator('.answer').textContent(),
      'relay.example serves 200 requests a minute, between 198 and 201 (sliding: so many in any 60 s; 420 short requests, 12 refused).',
    );
    const [row] = (await table(page, 'limit')).rows;
    assert.deepEqual(values(row).slice(2, 10), ['200', '200', '198', '201', '600', '420', '12', '0.0041']);
    await page.leave();
  });

  test('a job without any results yet', async () => {
    writeFileSync(join(folder, 'begun.jsonl'), JSON.stringify(lines(1, ['gpt-4o'])[0]));
    writeFileSync(
      join(folder, 'begun.totals.json'),
      JSON.stringify({ job: 'begun.jsonl', status: 'running', requests: 5, succeeded: 0, failed: 0, pending: 5 }),
    );
    assert.equal(sluice('report', 'begun.jsonl', '--html', 'begun.html').status, 0);
    const page = await open(join(folder, 'begun.html'));
    assert.deepEqual(page.faults, []);
    const text = await page.locator('body').innerText();
    assert.match(text, /was interrupted: 0 of 5 requests succeeded, 5 are pending/);
    assert.doesNotMatch(text, /undefined|NaN|\[object|Infinity|null/);
    await page.leave();
  });
});

describe('foreign text', () => {
  const words = [
    '</script><script>alert("ran")</script>',
    '<!--<script>',
    '<img src=x onerror=alert("ran")>',
    '\u2028alert("ran")\u2029',
    '{{script}}',
    '&lt;b&gt;',
    '" autofocus onfocus="alert(1)',
  ];
  test('is shown unchanged and never executed', async () => {
    const word = words.join(' ');
    const document = target({ model: word, name: word, loads: [2, 4], failing: 0.3 });
    document.stopped = word;
    document.limit = { ...limit, evidence: word };
    document.input = { kind: 'jobs', jobs: [word] };
    for (const load of document.loads) {
      load.failures.forEach((one) => Object.assign(one, { id: word, request_id: word, error: word, message: word }));
      load.slowest.forEach((one) => Object.assign(one, { id: word, request_id: word }));
      load.errors = { [word]: 3 };
    }
    const page = await open(pageOf('hostile', document));
    assert.deepEqual(page.faults, []);
    assert.deepEqual(await held(page), document);
    assert.equal(await page.locator('img, b, [onfocus]').count(), 0);
    assert.equal(await page.locator('script').count(), 3);
    assert.ok((await page.locator('h1').textContent()).includes(word));
    assert.ok((await table(page, 'failures')).rows.every((row) => row.some((cell) => cell.text === word.trim())));
    await page.leave();
  });

  test('even a script inside the page would not be executed', async () => {
    const path = join(folder, 'broken-in.html');
    writeFileSync(
      path,
      readFileSync(pages.single, 'utf8').replace('<header', '<script>window.ran = true; alert("ran")</script><header'),
    );
    const page = await open(path);
    assert.equal(await page.evaluate(() => window.ran), undefined);
    assert.ok(
      page.faults.length > 0 && page.faults.every((fault) => fault.includes('Content Security Policy')),
      String(page.faults),
    );
    await page.leave();
  });
});

describe('accessibility', () => {
  test('landmarks, headings in order, tables with captions and headers', async () => {
    for (const name of ['loads', 'targets', 'jobs']) {
      const page = await open(pages[name]);
      for (const landmark of ['header', 'nav', 'main', 'footer'])
        assert.equal(await page.locator(landmark).count(), 1, landmark);
      const levels = await page.locator('h1, h2, h3').evaluateAll((all) => all.map((one) => Number(one.tagName[1])));
      assert.equal(levels[0], 1);
      assert.equal(levels.filter((level) => level === 1).length, 1);
      levels.forEach((level, at) =>
        assert.ok(at === 0 || level - levels[at - 1] <= 1, `${name}: h${level} after h${levels[at - 1]}`),
      );
      const odd = await page
        .locator('table')
        .evaluateAll(
          (all) =>
            all.filter(
              (one) => !one.caption?.textContent || [...one.querySelectorAll('th')].some((head) => !head.scope),
            ).length,
        );
      assert.equal(odd, 0);
      const ids = await page.locator('[id]').evaluateAll((all) => all.map((one) => one.id));
      assert.equal(new Set(ids).size, ids.length, 'ids are unique');
      await page.leave();
    }
  });

  test('a screen reader gets a description of each plot', async () => {
    const page = await open(pages.loads);
    const snapshot = await page.locator('main').ariaSnapshot();
    assert.match(snapshot, /img "Time to first token by load\. median 2\d\d\sms/);
    assert.match(
      snapshot,
      /img "Requests in the preceding 60 s\. At most \d+ requests started in any 60 s; the cap is 200\."/,
    );
    assert.match(snapshot, /heading "Summary" \[level=2\]/);
    assert.match(snapshot, /table "Each load"/);
    const silent = await page
      .locator('.plot')
      .evaluateAll(
        (all) =>
          all.filter((plot) => plot.getAttribute('role') !== 'img' || plot.getAttribute('aria-label').length < 20)
            .length,
      );
    assert.equal(silent, 0);
    await page.leave();
  });

  test('the Tab key reaches every control, and each shows its focus', async () => {
    for (const [name, width] of [
      ['loads', 1280],
      ['targets', 480],
    ]) {
      const page = await open(pages[name], { width });
      const controls = await page.locator('a[href], summary, [tabindex="0"]').count();
      const reached = new Set();
      let outlined = 0;
      for (let step = 0; step < controls; ++step) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
          const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
          return {
            number: all.indexOf(document.activeElement),
            outline: getComputedStyle(document.activeElement).outlineStyle,
          };
        });
        reached.add(at.number);
        outlined += at.outline === 'none' ? 0 : 1;
      }
      assert.ok(!reached.has(-1));
      assert.equal(reached.size, controls);
      assert.equal(outlined, controls);
      await page.leave();
    }
  });

  test('with the keyboard only: the skip link, and the numbers of a plot', async () => {
    const page = await open(pages.loads);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
    await page.locator('#figure-load-ttft_ms summary').focus();
    await page.keyboard.press('Enter');
    await page.locator('table[data-table="plot-load-ttft_ms"]').waitFor({ state: 'visible' });
    const rows = (await table(page, 'plot-load-ttft_ms')).rows.map(values);
    assert.deepEqual(
      rows.map((row) => row.slice(1)),
      documents.loads.loads.map((load) => quantiles(load.ttft_ms)),
    );
    await page.leave();
  });

  test('colours have enough contrast in light and dark mode, and dark mode is dark', async () => {
    for (const scheme of ['light', 'dark']) {
      const page = await open(pages.loads, { scheme });
      const of = Object.fromEntries(
        await Promise.all(
          [
            'ground',
            'shade',
            'ink',
            'muted',
            'accent',
            'warn-ground',
            'info-ground',
            'bar',
            'good',
            'bad',
            'neutral',
            'cap',
            ...[1, 2, 3, 4, 5, 6].map((number) => `series-${number}`),
          ].map(async (name) => [name, await colour(page, `--${name}`)]),
        ),
      );
      for (const [text, ground] of [
        ['ink', 'ground'],
        ['muted', 'ground'],
        ['accent', 'ground'],
        ['ink', 'warn-ground'],
        ['ink', 'info-ground'],
        ['ink', 'bar'],
      ]) {
        assert.ok(
          contrast(of[text], of[ground]) >= 4.5,
          `${scheme}: ${text} on ${ground}: ${contrast(of[text], of[ground])}`,
        );
      }
      for (const line of ['good', 'bad', 'neutral', 'cap', ...[1, 2, 3, 4, 5, 6].map((number) => `series-${number}`)]) {
        assert.ok(contrast(of[line], of.ground) >= 3, `${scheme}: ${line}: ${contrast(of[line], of.ground)}`);
      }
      const image = await pixels(page);
      const [first] = [image.data.slice(0, 3)];
      assert.ok(scheme === 'dark' ? Math.max(...first) < 60 : Math.min(...first) > 240);
      await page.leave();
    }
  });

  test('a change from light to dark mode redraws the plots', async () => {
    const page = await open(pages.loads);
    await page.emulateMedia({ colorScheme: 'dark' });
    await settled(page);
    const image = await pixels(page, page.locator('#figure-time-0-minute .plot'));
    assert.ok(places(image, await colour(page, '--good')).length > 20);
    assert.ok(places(image, '#ffffff').length < (image.width * image.height) / 4);
    await page.leave();
  });

  test('with reduced motion there is no smooth scrolling', async () => {
    const page = await open(pages.single, { motion: 'reduce' });
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior), 'auto');
    await page.leave();
  });
});

describe('on paper', () => {
  test('always light, nothing cut off, all numbers open', async () => {
    for (const name of ['loads', 'targets', 'jobs']) {
      const page = await open(pages[name], { scheme: 'dark' });
      await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
      await settled(page);
      assert.equal(await colour(page, '--ground'), '#ffffff');
      const image = await pixels(page, page.locator('figure .plot').first());
      assert.ok(places(image, '#ffffff').length > (image.width * image.height) / 2);
      const cut = await page
        .locator('.scroll, figure, .plot')
        .evaluateAll((all) =>
          all.filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 1).map((one) => one.className),
        );
      assert.deepEqual(cut, []);
      assert.equal(await page.locator('details:not(.long):not([open])').count(), 0);
      assert.ok((await page.evaluate(() => document.body.scrollWidth)) <= 688);
      await page.emulateMedia({ media: 'screen' });
      await settled(page);
      assert.equal(await page.locator('details[open]').count(), 0, 'closed again on the screen');
      await page.leave();
    }
  });

  test('as a PDF', async () => {
    const page = await open(pages.loads);
    const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true });
    assert.ok(pdf.subarray(0, 5).equals(Buffer.from('%PDF-')));
    const sheets = pdf.toString('latin1').match(/\/Type \/Page\b/g).length;
    assert.ok(sheets >= 4 && sheets <= 14, `${sheets} pages`);
    await page.leave();
  });
});

describe('the command', () => {
  const refusal = (...words) => {
    const run = sluice(...words);
    assert.equal(run.status, 2, run.stderr);
    assert.equal(run.stdout, '');
    assert.equal(run.stderr.trim().split('\n').length, 1);
    return run.stderr;
  };

  test('a page that cannot be written is refused before anything is done', () => {
    assert.match(refusal('report', 'small.jsonl', '--html', 'no/such/page.html'), /there is no folder no\/such/);
    assert.match(refusal('report', 'small.jsonl', '--html', '.'), /is a folder/);
    assert.match(refusal('report', 'loads.json', '--html', '/proc/page.html'), /--html \/proc\/page\.html/);
  });

  test('with --json both happen', () => {
    const run = sluice('report', 'small.jsonl', '--json', '--html', 'both.html');
    assert.equal(run.status, 0);
    assert.deepEqual(JSON.parse(run.stdout), totals('small'));
    assert.ok(statSync(join(folder, 'both.html')).size > 50000);
  });

  test('a benchmark’s document without --html is printed as bench prints it', () => {
    const run = sluice('report', 'loads.json');
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /relay\.example/);
    assert.match(refusal('report', 'loads.json', 'small.jsonl', '--html', 'x.html'), /report on it alone/);
  });
});
