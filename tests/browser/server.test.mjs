// Tests the page of `sluice serve` in a browser. It shows the right state while batches run, are killed and resumed. It
// works with a mouse, with API keys, in both languages, on a phone and with a keyboard. It keeps its content security
// policy.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Server, figure, folder, line, lines, sees, shoot, start, startRelay, stop, until, visit } from './served_page.mjs';

const web = new URL('../../src/server/web/', import.meta.url);
let relay;
let slow;

before(async () => {
  relay = await startRelay('--ttft', '20ms', '--itl', 0);
  slow = await startRelay('--ttft', '600ms', '--itl', 0);
  await start();
});
after(stop);

function written(name, content) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('words', async () => {
  const { words } = await import(new URL('words.js', web));
  const sources = readdirSync(web)
    .filter((name) => name.endsWith('.js'))
    .map((name) => [name, readFileSync(new URL(name, web), 'utf8')]);

  test('every word is there in both languages, with the same holes', () => {
    const holes = (text) => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort();
    for (const [name, both] of Object.entries(words)) {
      assert.equal(both.length, 2, name);
      assert.ok(
        both.every((text) => typeof text === 'string' && text.trim() !== ''),
        name,
      );
      assert.deepEqual(holes(both[0]), holes(both[1]), name);
      const same = ['custom_id', 'of_cap', 'counts', 'version', 'switch_language'];
      if (!same.includes(name)) assert.match(both[1], /[\u4e00-\u9fff]/, `${name} is not Chinese`);
    }
  });
  test('every word that the page asks for is known, and none is left over', () => {
    const asked = new Set();
    const groups = new Set();
    for (const [, text] of sources) {
      for (const [, name] of text.matchAll(/\bt\(\s*'(\w+)'/g)) asked.add(name);
      for (const [, name] of text.matchAll(/\bt\(`(\w+_)\$\{/g)) groups.add(name);
      for (const [, name] of text.matchAll(/fault: '(line_\w+)'|'(line_\w+)' : null/g)) asked.add(name);
      for (const [, , other] of text.matchAll(/fault: '(line_\w+)'|'(line_\w+)' : null/g)) asked.add(other);
      for (const [, name] of text.matchAll(/\b(?:at|text)\('(\w+)', /g)) asked.add(name);
    }
    asked.delete(undefined);
    for (const name of asked) assert.ok(words[name], `${name} is not in the catalogue`);
    const unused = Object.keys(words).filter(
      (name) => !asked.has(name) && ![...groups].some((group) => name.startsWith(group)),
    );
    assert.deepEqual(unused, []);
  });
  test('each state and each cause has its words', () => {
    for (const state of [
      'validating',
      'failed',
      'in_progress',
      'finalizing',
      'completed',
      'expired',
      'cancelling',
      'cancelled',
    ]) {
      assert.ok(words[`state_${state}`]);
    }
    const report = readFileSync(new URL('../status_report.cpp', web), 'utf8');
    const waiting = report.slice(report.indexOf('word_of(wait_cause'), report.indexOf('json relay_of('));
    const causes = [...waiting.matchAll(/(?:return|\?|:) "(\w+)"/g)].map(([, cause]) => cause);
    assert.ok(causes.includes('limit') && causes.includes('slow_relay'), String(causes));
    for (const cause of causes.filter((word) => word !== 'none')) assert.ok(words[`wait_${cause}`], cause);
    const states = [...report.matchAll(/state = (?:relay.back_at \? )?"(\w+)"(?: : "(\w+)")?/g)].flatMap((found) =>
      found.slice(1),
    );
    assert.ok(states.includes('ended') && states.includes('ok'), String(states));
    for (const state of states.filter(Boolean)) assert.ok(words[`relay_${state}`], state);
  });
});

test('an empty server says so, and everything has a name', async () => {
  const server = await new Server('empty', relay).start();
  const page = await visit(server);
  await sees(page, 'There are no batches yet.');
  await sees(page, 'Nothing has been answered yet.');
  assert.equal(await figure(page, 'requests'), '0');
  await page.getByRole('link', { name: 'Start the first one' }).click();
  await sees(page, 'Drop a JSONL file here');
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('a, button, input, select')]
      .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML),
  );
  assert.deepEqual(nameless, []);
  assert.deepEqual(page.refused, []);
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('a job is uploaded by hand, runs, shows its failed lines and is retried', async () => {
  const server = await new Server('by-hand', relay).start();
  const page = await visit(server, '/#/new');
  const job = written('job.jsonl', lines(20) + line('bad-1', 'no-such-model') + line('bad-2', 'no-such-model'));
  await page.locator('#file').setInputFiles(job);
  await sees(page, 'job.jsonl: 22 requests');
  await sees(page, 'Models: gpt-4o-mini, no-such-model');
  assert.equal(await page.locator('#endpoint').inputValue(), '/v1/chat/completions');
  await page.locator('#window').selectOption('6h');
  await page.locator('#start').click();
  await page.locator('.state.completed').waitFor();
  assert.equal(await page.locator('h1').textContent(), 'job.jsonl');
  const id = page.url().split('/').at(-1);
  const truth = await server.batch(id);
  assert.equal(truth.completion_window, '6h');
  assert.deepEqual(truth.metadata, { name: 'job.jsonl' });
  assert.equal(await figure(page, 'done'), '22');
  assert.equal(await figure(page, 'failed'), String(truth.request_counts.failed));
  assert.equal(await figure(page, 'cost'), `$${truth.sluice.cost_usd}`);
  await page.locator('.failed-lines tbody tr').nth(1).waitFor();
  const rows = await page.locator('.failed-lines tbody tr').allTextContents();
  assert.equal(rows.length, 2);
  assert.match(rows.sort()[0], /^21bad-1/);

  const [saved] = await Promise.all([page.waitForEvent('download'), page.locator('#save-errors').click()]);
  assert.equal(saved.suggestedFilename(), `${id}_error.jsonl`);
  assert.equal(
    readFileSync(await saved.path(), 'utf8')
      .trim()
      .split('\n').length,
    2,
  );

  await page.locator('#retry').click();
  await until(() => !page.url().endsWith(id));
  const again = page.url().split('/').at(-1);
  await page.locator('.state.completed').waitFor();
  const retried = await server.batch(again);
  assert.equal(retried.sluice.retry_of, id);
  assert.equal(await figure(page, 'done'), '2');

  await page.getByRole('link', { name: 'Overview' }).click();
  await until(async () => (await figure(page, 'requests')) === '24');
  const status = await server.call('/sluice/status');
  assert.equal(await figure(page, 'cost'), `$${status.cost_usd}`);
  assert.match(await page.locator('#models tbody').textContent(), /gpt-4o-mini20/);
  assert.deepEqual(page.refused, []);
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('interactive calls are counted beside batches', async () => {
  // A relay of its own: requests of other tests would count in its last minute.
  const own = await startRelay('--ttft', '20ms', '--itl', 0);
  const server = await new Server('calls', own, '--rpm', 500).start();
  await server.ended((await server.create(lines(3))).id);
  const statuses = [];
  for (const more of [{}, {}, { model: 'gpt-4o' }, { model: 'no-such-model' }]) {
    const answer = await server.chat(more);
    await answer.text();
    statuses.push(answer.status);
  }
  assert.deepEqual(statuses, [200, 200, 200, 404]);
  const page = await visit(server);
  await until(async () => (await figure(page, 'calls')) === '4');
  assert.equal(await figure(page, 'requests'), '3', 'lines of batches');
  assert.equal(await figure(page, 'minute'), '7 of 500');
  await sees(page, 'last minute: 4; failed: 1');
  const status = await server.call('/sluice/status');
  assert.equal(await figure(page, 'cost'), `$${status.cost_usd}`);
  await sees(page, `calls: $${status.calls.cost_usd}`);
  const models = await page.locator('#models tbody tr').allTextContents();
  assert.ok(
    models.some((row) => row.startsWith('gpt-4o-mini52')),
    `five requests, two of them calls: ${models}`,
  );
  assert.ok(
    models.some((row) => row.startsWith('gpt-4o11')),
    String(models),
  );
  assert.deepEqual(await page.locator('#errors tbody tr').allTextContents(), ['4041']);
  await shoot(page, 'calls');
  assert.deepEqual(page.refused, []);
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('the page says how to start, at the address that the browser has for it', async () => {
  const server = await new Server('address', relay).start();
  for (const url of [server.url, `http://localhost:${server.port}`]) {
    const page = await visit({ url });
    await page.locator('#how-to-start').waitFor();
    assert.equal(
      await page.locator('#how-to-start').textContent(),
      `export OPENAI_BASE_URL=${url}/v1 OPENAI_API_KEY=any`,
    );
    await sees(page, `base URL: ${url}/v1`);
    await shoot(page, 'address');
    assert.deepEqual(page.refused, []);
    assert.deepEqual(await page.leave(), []);
  }
  await server.kill();
});

test('a page of another site can neither use the server nor take its name', async () => {
  const server = await new Server('foreign', relay).start();
  const other = await visit({ url: new URL(relay.replace('127.0.0.1', 'localhost')).origin }, '/v1/models');
  const sent = await other.evaluate(async (to) => {
    const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'x' }] });
    const answer = await fetch(`${to}/v1/chat/completions`, { method: 'POST', mode: 'no-cors', body });
    const form = document.createElement('form');
    form.action = `${to}/v1/batches`;
    form.method = 'POST';
    document.documentElement.append(form);
    form.submit();
    return answer.type;
  }, server.url);
  assert.equal(sent, 'opaque', 'the browser has sent it');
  await other.waitForURL(`${server.url}/v1/batches`);
  assert.match(await other.textContent('body'), /origin_not_allowed/);
  await other.leave();
  const rebound = await visit({ url: `http://evil.example:${server.port}` });
  assert.match(await rebound.textContent('body'), /host_not_allowed/);
  await rebound.leave();
  const { calls } = await server.call('/sluice/status');
  assert.equal(calls.started, 0);
  await server.kill();
});

test('a server that is killed is missed, and the page goes on with the truth', async () => {
  const server = await new Server('killed', slow, '--concurrency', 4).start();
  const batch = await server.create(lines(60));
  const page = await visit(server, `/#/batches/${batch.id}`);
  const done = async () => Number(await figure(page, 'done'));
  await until(async () => (await done()) >= 5);
  await server.kill();
  await sees(page, 'The server does not answer.');
  assert.ok(await page.locator('#content.stale').isVisible());
  const kept = await done();
  assert.ok(kept >= 5, 'the last figures stay');
  await server.start();
  await sees(page, 'The server answers again.');
  assert.equal(await page.locator('#content.stale').count(), 0);
  await until(async () => (await done()) >= kept);
  await page.locator('.state.completed').waitFor({ timeout: 60_000 });
  const truth = await server.ended(batch.id);
  assert.equal(truth.request_counts.completed, 60);
  assert.equal(await done(), 60);
  assert.equal(await figure(page, 'cost'), `$${truth.sluice.cost_usd}`);
  await page.getByRole('link', { name: 'Overview' }).click();
  await sees(page, 'The server started at');
  await until(async () => (await figure(page, 'requests')) === '60');
  assert.equal(await figure(page, 'cost'), `$${truth.sluice.cost_usd}`);
  assert.ok(
    page.refused.every((said) => said.includes('ERR_CONNECTION_REFUSED')),
    page.refused.join('\n'),
  );
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('the last minute includes the requests of a killed server', async () => {
  const own = await startRelay('--ttft', '100ms', '--itl', 0);
  const server = await new Server('minute', own, '--concurrency', 4, '--rpm', 1000).start();
  const batch = await server.create(lines(60));
  await until(async () => (await server.batch(batch.id)).request_counts.completed >= 20);
  await server.kill();
  await server.start();
  await server.ended(batch.id);
  const { attempts } = await (await fetch(own.replace(/v1$/, 'simulator/ledger'))).json();
  const page = await visit(server);
  await until(async () => (await figure(page, 'minute')) === `${attempts} of 1,000`);
  await sees(page, /by another process or before a restart: [2-6]\d/);
  const used = () => page.locator('.gauge').evaluate((node) => node.style.getPropertyValue('--part'));
  assert.equal(await used(), `${attempts / 10}%`);
  await shoot(page, 'after-a-kill');
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('a running batch moves by itself, and is cancelled after a question', async () => {
  const server = await new Server('cancelled', slow, '--concurrency', 2).start();
  const batch = await server.create(lines(200), { metadata: { name: 'the long one' } });
  const page = await visit(server);
  const bar = page.getByRole('progressbar', { name: 'Progress of the long one' });
  await until(async () => Number(await bar.getAttribute('aria-valuenow')) > 2);
  const before = Number(await bar.getAttribute('aria-valuenow'));
  await until(async () => Number(await bar.getAttribute('aria-valuenow')) > before);
  await sees(page, /^about .* left$/);
  await page.getByRole('link', { name: 'the long one' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('#cancel').click();
  await page.getByRole('button', { name: 'Let it run' }).click();
  assert.equal((await server.batch(batch.id)).status, 'in_progress');
  await page.locator('#cancel').click();
  await page.getByRole('button', { name: 'Cancel the batch' }).click();
  await page.locator('.state.cancelled').waitFor({ timeout: 30_000 });
  // The error file now names the requests that were not sent, some at a time.
  await page.locator('#more-failed').waitFor();
  await page.locator('#more-failed').click();
  await until(async () => (await page.locator('.failed-lines tbody tr').count()) === 40);
  assert.match(await page.locator('.failed-lines').textContent(), /batch_cancelled/);
  assert.deepEqual(page.refused, []);
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('lines that are not good are named, before the upload and after it', async () => {
  const server = await new Server('bad-lines', relay).start();
  const page = await visit(server, '/#/new');
  const faulty = `${line('a')}\n{"broken"\n${line('a')}${line('b').replace('/v1/chat/completions', '/v1/embeddings')}[]\n${line('c').replace('POST', 'GET')}${line('d').replace('/v1/', '/')}${line('').replace('""', '7')}${line('e', '')}`;
  await page.locator('#file').setInputFiles(written('faulty.jsonl', faulty));
  await sees(page, 'Lines that the server will not accept');
  const rows = await page.locator('.faults tbody tr').allTextContents();
  assert.deepEqual(rows, [
    '3It is not valid JSON.',
    '4Another line has the same custom_id: a',
    '5Its url is not that of the first line.',
    '6It is not a JSON object.',
    '7Its method is not “POST”.',
    '8Its url is not an endpoint of batches.',
    '9It has no custom_id that is a text.',
    '10Its body names no model.',
  ]);
  assert.ok(!(await page.locator('#start').isVisible()), 'it cannot be started');
  await page.locator('#file').setInputFiles(written('none.jsonl', '\n\n'));
  await sees(page, 'The file has no requests.');

  // The server refuses the same lines, and no others.
  const batch = await server.create(faulty);
  const refused = await server.ended(batch.id);
  assert.equal(refused.status, 'failed');
  assert.deepEqual(
    refused.errors.data.map((one) => one.line),
    rows.map((row) => parseInt(row, 10)),
  );
  await page.goto(`${server.url}/#/batches/${batch.id}`);
  await sees(page, 'Lines that were not accepted');
  assert.match((await page.locator('.refused-lines tbody tr').allTextContents())[0], /^3/);
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('with keys, the page asks for one and shows what it may see', async () => {
  const keys = written(
    'keys.toml',
    '[[key]]\nname = "alice"\nkey = "sk-alice-0123456789"\nbudget = "5"\n\n[[key]]\nname = "bob"\nkey = "sk-bob-0123456789ab"\n',
  );
  const server = await new Server('keys', relay, '--keys', keys).start();
  const [alice, bob] = ['sk-alice-0123456789', 'sk-bob-0123456789ab'];
  const own = await server.create(lines(3), { metadata: { name: 'of alice' } }, alice);
  const other = await server.create(lines(2), { metadata: { name: 'of bob' } }, bob);
  await Promise.all([server.ended(own.id, alice), server.ended(other.id, bob)]);
  const page = await visit(server);
  await sees(page, 'This server needs a key');
  assert.deepEqual(page.refused, [], 'nothing was asked without a key');
  await page.getByLabel('Key').fill('sk-wrong-0123456789');
  await page.keyboard.press('Enter');
  await sees(page, 'The server does not accept this key.');
  await page.getByLabel('Key').fill(alice);
  await page.getByRole('button', { name: 'Show' }).click();
  await sees(page, 'of alice');
  await sees(page, 'Key: alice');
  assert.equal(await page.getByText('of bob').count(), 0);
  assert.equal(await figure(page, 'requests'), '3');
  assert.equal(await page.getByText(alice).count(), 0);

  await page.getByRole('link', { name: 'of alice' }).click();
  const [saved] = await Promise.all([page.waitForEvent('download'), page.locator('#save-output').click()]);
  assert.equal(
    readFileSync(await saved.path(), 'utf8')
      .trim()
      .split('\n').length,
    3,
  );
  await page.goto(`${server.url}/#/batches/${other.id}`);
  await sees(page, 'There is no such batch.');
  await page.reload();
  await sees(page, 'There is no such batch.');
  await page.locator('#forget').click();
  await sees(page, 'This server needs a key');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.ok(
    page.refused.every((said) => /\b(401|404)\b/.test(said)),
    page.refused.join('\n'),
  );
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('the page speaks Chinese where the browser does, and keeps what was chosen', async () => {
  const server = await new Server('languages', relay).start();
  await server.ended((await server.create(lines(2) + line('bad', 'no-such-model'))).id);
  const page = await visit(server, '/', { locale: 'zh-CN' });
  await sees(page, '最近一分钟的请求');
  await sees(page, '已完成');
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  const english = await page.evaluate(() => document.querySelector('#content').innerText);
  assert.doesNotMatch(english, /Requests|Batches|Cost|Tokens|completed/);
  await page.getByRole('button', { name: 'Switch to English' }).click();
  await sees(page, 'Requests in the last minute');
  await page.reload();
  await sees(page, 'Requests in the last minute');
  await page.getByRole('button', { name: '切换到中文' }).click();
  await page.locator('.batches tbody a').click();
  await sees(page, '失败的行');
  await page.getByRole('link', { name: '新建批次' }).click();
  await sees(page, '把 JSONL 文件拖到这里');
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});

test('names of any length and kind are text, and nothing is wider than a phone', async () => {
  const server = await new Server('names', relay).start();
  const hostile = `<img src=x onerror="document.title='bad'">${'长名字'.repeat(40)}${'x'.repeat(300)}`.slice(0, 500);
  const long = 'w'.repeat(300);
  const batch = await server.create(
    lines(3) + line(`<b>${'i'.repeat(400)}</b>`, 'no-such-model') + line('b', `model-${long}`),
    { metadata: { name: hostile, [`k${'e'.repeat(60)}`]: long } },
  );
  await server.ended(batch.id);
  for (const path of ['/', `/#/batches/${batch.id}`, '/#/new']) {
    const page = await visit(server, path, { width: 390, height: 844 });
    await page.locator('h1').waitFor({ state: 'attached' });
    if (path !== '/#/new') await sees(page, '<img src=x');
    if (path.includes('batch_')) await page.locator('.failed-lines tbody tr').nth(1).waitFor();
    if (path === '/#/new') {
      await page.locator('#file').setInputFiles(written(`${'n'.repeat(200)}.jsonl`, lines(2, `model-${long}`)));
      await page.locator('#start').waitFor();
    }
    const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide[0] <= wide[1], `${path} is ${wide[0]} wide`);
    assert.equal(await page.locator('#content img').count(), 0);
    assert.doesNotMatch(await page.title(), /^bad/);
    assert.deepEqual(await page.leave(), []);
  }
  await server.kill();
});

test('many batches come in pages', async () => {
  const server = await new Server('many', relay).start();
  for (let at = 1; at <= 45; ++at) await server.create(line(`r${at}`), { metadata: { name: `number ${at}` } });
  const page = await visit(server);
  const names = () => page.locator('.batches tbody a').allTextContents();
  await until(async () => (await names()).length === 20);
  assert.equal((await names())[0], 'number 45');
  await page.getByRole('button', { name: 'Older' }).click();
  await until(async () => (await names())[0] === 'number 25');
  await page.getByRole('button', { name: 'Older' }).click();
  await until(async () => (await names()).length === 5);
  assert.ok(await page.locator('#older').isDisabled());
  await sees(page, 'Page 3');
  await page.getByRole('button', { name: 'Newer' }).click();
  await until(async () => (await names())[0] === 'number 25');
  await page.getByRole('button', { name: 'Newest' }).click();
  await until(async () => (await names())[0] === 'number 45');
  await until(async () => (await figure(page, 'batches')) === '45');
  assert.deepEqual(await page.leave(), []);
  await server.kill();
});
