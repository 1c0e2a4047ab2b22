// Opens a report in a browser: from disk, without a network. Records all errors.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);

export const folder = mkdtempSync(join(tmpdir(), 'sluice-browser-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

export function sluice(...words) {
  const run = spawnSync(process.env.SLUICE, words.map(String), {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, XDG_STATE_HOME: join(folder, 'state'), XDG_CONFIG_HOME: folder },
  });
  if (run.error) throw run.error;
  return run;
}

/// Writes the page of a benchmark's document and returns its path.
export function pageOf(name, document) {
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(document));
  const run = sluice('report', `${name}.json`, '--html', `${name}.html`);
  if (run.status !== 0) throw new Error(run.stderr);
  return join(folder, `${name}.html`);
}

let browser;
export async function start() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
}
export const stop = () => browser.close();

/// Opens the page. `faults` collects the errors on the browser's console.
export async function open(path, { scheme = 'light', width = 1280, motion = 'no-preference', density = 1 } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    reducedMotion: motion,
    offline: true,
    deviceScaleFactor: density,
  });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (said) => faults.push(`${said.type()}: ${said.text()}`));
  page.on('pageerror', (error) => faults.push(String(error.stack)));
  page.on('requestfailed', (request) => faults.push(`failed: ${request.url()}`));
  page.on('request', (request) => {
    if (request.url() !== pathToFileURL(path).href) faults.push(`asked for: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(pathToFileURL(path).href);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'true');
  await settled(page);
  page.faults = faults;
  page.leave = () => context.close();
  return page;
}

/// Waits until all drawing and layout is finished.
export const settled = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

// A second page, which decodes screenshots.
let reader;
async function readerPage() {
  reader ??= await browser.newPage();
  return reader;
}

/// The pixels of a part of the page, from a screenshot: {width, height, data: r, g, b, a, …}.
export async function pixels(page, locator) {
  const shot = (await (locator ?? page).screenshot({ animations: 'disabled' })).toString('base64');
  const image = await (
    await readerPage()
  ).evaluate(async (png) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    const drawing = canvas.getContext('2d');
    drawing.drawImage(image, 0, 0);
    const { data } = drawing.getImageData(0, 0, image.width, image.height);
    let text = '';
    for (let at = 0; at < data.length; at += 0x8000) text += String.fromCharCode(...data.subarray(at, at + 0x8000));
    return { width: image.width, height: image.height, data: btoa(text) };
  }, shot);
  return { ...image, data: Buffer.from(image.data, 'base64') };
}

/// Converts "#rrggbb" to [r, g, b].
export const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/// The positions of the pixels that have the colour or almost the colour.
export function places(image, colour, near = 12) {
  const [r, g, b] = rgb(colour);
  const found = [];
  for (let at = 0; at < image.data.length; at += 4) {
    if (
      Math.abs(image.data[at] - r) <= near &&
      Math.abs(image.data[at + 1] - g) <= near &&
      Math.abs(image.data[at + 2] - b) <= near
    ) {
      found.push({ x: (at / 4) % image.width, y: Math.floor(at / 4 / image.width) });
    }
  }
  return found;
}

function luminance(hex) {
  const [r, g, b] = rgb(hex).map((value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/// The contrast ratio of WCAG: 1 to 21.
export function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

/// The value of a colour in the style sheet as "#rrggbb".
export const colour = (page, name) =>
  page.evaluate((variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim(), name);

/// The texts of a table's header cells, and the texts and values of the cells in its rows.
export const table = (page, name) =>
  page.evaluate((wanted) => {
    const found = document.querySelector(`table[data-table="${wanted}"]`);
    if (!found) return null;
    const read = (cell) => ({ text: cell.textContent.replaceAll('\u00a0', ' ').trim(), value: cell.dataset.value });
    return {
      caption: found.caption.textContent,
      rows: [...found.tBodies]
        .flatMap((body) => [...body.rows])
        .filter((row) => row.className !== 'part')
        .map((row) => [...row.cells].map(read)),
    };
  }, name);
