// A relay, a server in front of it, and its page in a browser. Records all errors of the browser.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);

export const folder = mkdtempSync(join(tmpdir(), 'sluice-page-'));
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/// Starts the program and waits for the output that names its port.
function begin(words, port) {
  const child = spawn(process.env.SLUICE, words.map(String), {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_STATE_HOME: join(folder, 'state'),
      OPENAI_API_KEY: 'sk-of-the-relay',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const ended = new Promise((done) => child.on('exit', done)).then(() => running.delete(child));
  let said = '';
  const ready = new Promise((done, failed) => {
    const take = (more) => {
      said += more;
      const found = port.exec(said);
      if (found) done(Number(found[1]));
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    ended.then(() => failed(new Error(`${words[0]} has ended: ${said}`)));
  });
  return { child, ended, ready };
}

export async function startRelay(...flags) {
  const started = begin(['simulate', '--port', 0, '--rpm', 0, ...flags], /http:\/\/127\.0\.0\.1:(\d+)/);
  return `http://127.0.0.1:${await started.ready}/v1`;
}

/// `sluice serve` with its own data folder, which stays the same after a kill.
export class Server {
  constructor(name, relay, ...flags) {
    this.words = ['serve', '--data', join(folder, name), '--base-url', relay, '--rpm', 0, ...flags];
    mkdirSync(folder, { recursive: true });
    this.port = 0;
  }
  async start() {
    this.started = begin([...this.words, '--listen', `127.0.0.1:${this.port}`], /serving http:\/\/127\.0\.0\.1:(\d+)/);
    this.port = await this.started.ready;
    return this;
  }
  async kill() {
    this.started.child.kill('SIGKILL');
    await this.started.ended;
  }
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }
  async call(path, options = {}, key = '') {
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const answer = await fetch(`${this.url}${path}`, { ...options, headers });
    const body = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(body));
    return body;
  }
  async create(lines, more = {}, key = '') {
    const form = new FormData();
    form.append('purpose', 'batch');
    form.append('file', new Blob([lines]), 'in.jsonl');
    const file = await this.call('/v1/files', { method: 'POST', body: form }, key);
    return this.call(
      '/v1/batches',
      {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          input_file_id: file.id,
          endpoint: '/v1/chat/completions',
          completion_window: '24h',
          ...more,
        }),
      },
      key,
    );
  }
  /// Makes a single call. Returns its answer, also if it is an error.
  chat(more = {}, key = '') {
    return fetch(`${this.url}/v1/chat/completions`, {
      method: 'POST',
      headers: key ? { Authorization: `Bearer ${key}` } : {},
      body: JSON.stringify({
        model: 'gpt-4o-mini',
        messages: [{ role: 'user', content: 'question' }],
        max_tokens: 8,
        ...more,
      }),
    });
  }
  batch(id, key = '') {
    return this.call(`/v1/batches/${id}`, {}, key);
  }
  async ended(id, key = '') {
    return until(async () => {
      const now = await this.batch(id, key);
      return ['completed', 'failed', 'expired', 'cancelled'].includes(now.status) && now;
    });
  }
}

export async function until(holds, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; ;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`does not come true: ${holds}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export const line = (id, model = 'gpt-4o-mini') =>
  `${JSON.stringify({
    custom_id: id,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model, messages: [{ role: 'user', content: `question ${id}` }], max_tokens: 8 },
  })}\n`;
export const lines = (count, model) => Array.from({ length: count }, (_, at) => line(`r${at + 1}`, model)).join('');

let browser;
export async function start() {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // A foreign host name that resolves to this machine.
    args: ['--no-sandbox', '--host-resolver-rules=MAP evil.example 127.0.0.1'],
  });
}
export async function stop() {
  // Node ends only after its child processes have ended.
  for (const child of running) child.kill('SIGKILL');
  await browser.close();
}

/// Opens the page of a server. `faults` collects all errors of the browser. Calls that the server refuses or does
/// not answer are collected in `refused` instead.
export async function visit(
  server,
  path = '/',
  { scheme = 'light', width = 1280, height = 900, locale = 'en-US' } = {},
) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale });
  const page = await context.newPage();
  page.faults = [];
  page.refused = [];
  page.on('console', (said) => {
    const list = said.text().startsWith('Failed to load resource:') ? page.refused : page.faults;
    list.push(`${said.type()}: ${said.text()}`);
  });
  page.on('pageerror', (error) => page.faults.push(String(error.stack)));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${server.url}/`) && !request.url().startsWith('blob:')) {
      page.faults.push(`asked for: ${request.url()}`);
    }
  });
  page.on('dialog', (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
    );
  });
  await page.goto(`${server.url}${path}`);
  page.leave = async () => {
    page.faults.push(...(await page.evaluate(() => globalThis.violations)));
    await context.close();
    return page.faults;
  };
  return page;
}

/// Saves a screenshot of the page, if SCREENSHOTS names a folder.
export async function shoot(page, name) {
  const to = process.env.SCREENSHOTS;
  if (to) await page.screenshot({ path: join(to, `${name}.png`), fullPage: true });
}
/// Waits until the page contains a text.
export const sees = (page, text) => page.getByText(text).first().waitFor({ timeout: 20_000 });
export const figure = (page, id) => page.locator(`[data-figure="${id}"]`).textContent();
