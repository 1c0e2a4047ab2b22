// Plots of the last hour as SVG: one stacked bar for each step.
import { element, setAttribute, setText } from './dom.js';
import { count, hourAndMinute, moment } from './format.js';
import { t } from './words.js';

const height = 190;
const margin = { left: 46, right: 8, top: 10, bottom: 24 };
// The seconds that a plot shows, and the seconds between two labels under it.
const spans = [600, 1500, 3600];
const apart = { 600: 120, 1500: 300, 3600: 600 };

function drawn(tag, attributes, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/// The smallest round number that is not less.
function roundTop(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 4, 5, 10].map((step) => step * power).find((top) => top >= most);
}

const short = (value) =>
  value >= 1e6
    ? `${Number((value / 1e6).toFixed(2))}M`
    : value >= 1e4
      ? `${Number((value / 1e3).toFixed(1))}k`
      : count(value);

/// series: [{name, label, colour}], colours are classes. update(): {begins_at, step_s, now, values: {name: numbers}}.
export function plot({ id, title, about, series }) {
  const place = element('div', { class: 'plot' });
  const reading = element('li', { class: 'reading', 'aria-hidden': 'true' });
  const details = element(
    'details',
    { class: 'long' },
    element('summary', {}, t('numbers'), element('span', { class: 'hidden' }, ` – ${t('numbers_of', { title })}`)),
  );
  const node = element(
    'figure',
    { id: `figure-${id}` },
    element('figcaption', {}, element('strong', {}, title), element('span', { class: 'about' }, about)),
    place,
    element(
      'ul',
      { class: 'legend' },
      series.map((one) => element('li', {}, element('span', { class: `key ${one.colour}` }), one.label)),
      reading,
    ),
    details,
  );
  let data;
  let svg;
  // The shortest of `spans` that shows all data of the server.
  let span = spans[0];

  const stepAt = (at) => series.map((one) => data.values[one.name][at] ?? 0);
  const total = (at) => stepAt(at).reduce((sum, value) => sum + value, 0);

  function draw() {
    const width = Math.max(place.clientWidth, 240);
    const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
    const { begins_at, step_s, now } = data;
    const steps = data.values[series[0].name].length;
    const x = (unix) => margin.left + ((unix - (now - span)) / span) * inner.width;
    const top = roundTop(Math.max(0, ...Array.from({ length: steps }, (_, at) => total(at))));
    const y = (value) => margin.top + inner.height * (1 - value / top);
    const made = drawn('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img' });
    const start = x(begins_at);
    if (start > margin.left + 1) {
      made.append(
        drawn('rect', {
          class: 'unknown',
          x: margin.left,
          y: margin.top,
          width: Math.min(start, width) - margin.left,
          height: inner.height,
        }),
      );
      if (start - margin.left > 120) {
        made.append(drawn('text', { class: 'tick', x: margin.left + 8, y: margin.top + 16 }, t('before_start')));
      }
    }
    for (const part of [0, 0.5, 1]) {
      const at = y(top * part);
      made.append(
        drawn('line', {
          class: part === 0 ? 'ground' : 'grid',
          x1: margin.left,
          x2: width - margin.right,
          y1: at,
          y2: at,
        }),
        drawn('text', { class: 'tick', x: margin.left - 6, y: at + 4, 'text-anchor': 'end' }, short(top * part)),
      );
    }
    const between = apart[span] * (inner.width < 420 ? 2 : 1);
    for (let unix = Math.ceil((now - span) / between) * between; unix <= now; unix += between) {
      const at = x(unix);
      made.append(
        drawn('line', { class: 'grid', x1: at, x2: at, y1: height - margin.bottom, y2: height - margin.bottom + 4 }),
        drawn(
          'text',
          { class: 'tick', x: Math.min(at, width - margin.right - 15), y: height - 6, 'text-anchor': 'middle' },
          hourAndMinute(unix),
        ),
      );
    }
    const paths = series.map(() => '');
    for (let at = 0; at < steps; ++at) {
      const left = Math.max(x(begins_at + at * step_s), margin.left);
      // The last step is not complete yet.
      const right = Math.min(x(begins_at + (at + 1) * step_s), width - margin.right);
      if (right <= left) continue;
      let under = 0;
      stepAt(at).forEach((value, which) => {
        if (value > 0) {
          const high = y(under + value);
          paths[which] +=
            `M${left.toFixed(2)} ${y(under).toFixed(2)}V${high.toFixed(2)}H${right.toFixed(2)}V${y(under).toFixed(2)}z`;
        }
        under += value;
      });
    }
    paths.forEach((d, which) => made.append(drawn('path', { class: series[which].colour, d })));
    if (svg) svg.replaceWith(made);
    else place.append(made);
    svg = made;
    const sum = (seconds) => {
      let all = 0;
      for (let at = Math.max(0, steps - Math.round(seconds / step_s)); at < steps; ++at) all += total(at);
      return count(all);
    };
    setAttribute(made, 'aria-label', `${title}, ${about}. ${t('plot_gist', { n: sum(600), hour: sum(3600) })}`);
  }

  function fillNumbers() {
    if (!details.open || !data) return;
    const minutes = new Map();
    const steps = data.values[series[0].name].length;
    for (let at = steps - 1; at >= 0; --at) {
      const minute = Math.floor((data.begins_at + at * data.step_s) / 60) * 60;
      const sums = minutes.get(minute) ?? series.map(() => 0);
      minutes.set(
        minute,
        sums.map((sum, which) => sum + stepAt(at)[which]),
      );
    }
    const rows = [...minutes].map(([minute, sums]) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row', class: 'words' }, hourAndMinute(minute)),
        sums.map((sum) => element('td', {}, count(sum))),
      ),
    );
    const made = element(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('numbers_of', { title }) },
      element(
        'table',
        {},
        element('caption', { class: 'hidden' }, t('numbers_of', { title })),
        element(
          'thead',
          {},
          element(
            'tr',
            {},
            element('th', { scope: 'col', class: 'words' }, t('minute')),
            series.map((one) => element('th', { scope: 'col' }, one.label)),
          ),
        ),
        element('tbody', {}, rows),
      ),
    );
    const old = details.querySelector('.scroll');
    if (!old) details.append(made);
    else if (document.activeElement !== old) old.replaceWith(made);
  }
  details.addEventListener('toggle', fillNumbers);

  place.addEventListener('pointermove', (event) => {
    if (!data) return;
    const width = Math.max(place.clientWidth, 240);
    const share =
      (event.clientX - place.getBoundingClientRect().left - margin.left) / (width - margin.left - margin.right);
    const at = Math.floor((data.now - span + share * span - data.begins_at) / data.step_s);
    const inside = at >= 0 && at < data.values[series[0].name].length;
    setText(
      reading,
      inside
        ? `${moment(data.begins_at + at * data.step_s, data.now)}: ${stepAt(at)
            .map((value, which) => `${count(value)} ${series[which].label}`)
            .join(', ')}`
        : '',
    );
  });
  place.addEventListener('pointerleave', () => setText(reading, ''));
  new ResizeObserver(() => data && node.isConnected && draw()).observe(place);

  return {
    node,
    update(fresh) {
      data = fresh;
      span = spans.find((one) => data.now - data.begins_at <= one) ?? spans.at(-1);
      if (node.isConnected) draw();
      fillNumbers();
    },
  };
}
