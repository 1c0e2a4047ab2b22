// Figures: a plot, its legend, and its numbers as a table. A plot is drawn anew when the colours, the width or
// the medium change.

const seriesColours = ['--series-1', '--series-2', '--series-3', '--series-4', '--series-5', '--series-6'];
const seriesDashes = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 2], [14, 4]];
const colourOf = (at) => seriesColours[at % seriesColours.length];
const dashOf = (at) => seriesDashes[at % seriesDashes.length];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faint = (name) => `${colour(name)}22`;

const drawers = [];
function drawAll() {
  for (const draw of drawers) draw();
  markScrolling();
}

/// A piece of the line, as it is dashed.
function lineSample(one) {
  const drawing = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  for (const [name, value] of [['x1', 0], ['x2', 26], ['y1', 4], ['y2', 4], ['stroke-width', one.width ?? 2], ['stroke-dasharray', (one.dash ?? []).join(' ')]]) line.setAttribute(name, value);
  line.style.stroke = `var(${one.colour})`;
  for (const [name, value] of [['width', 26], ['height', 8], ['aria-hidden', 'true'], ['class', 'line']]) drawing.setAttribute(name, value);
  drawing.append(line);
  return drawing;
}

function legendItem(one) {
  const reading = element('span', { class: 'reading', 'aria-hidden': 'true' });
  const line = lineSample(one);
  return { reading, item: element('li', {}, line, one.label, reading) };
}

function axis(label, more) {
  return {
    stroke: colour('--muted'), label, labelSize: 18, labelFont: '11px system-ui, sans-serif', font: '11px system-ui, sans-serif',
    grid: { stroke: colour('--grid'), width: 1 }, ticks: { stroke: colour('--grid'), width: 1, size: 4 }, gap: 4, ...more,
  };
}

/// From zero to the top, or to a little over the greatest value, with room for the bands' names.
function yRange(top, bands) {
  const room = bands?.length > 1 ? 1.2 : 1.08;
  return (plot, low, high) => [0, top ?? (Number.isFinite(high) && high > 0 ? high : 1) * room];
}

function plotSeries(one) {
  return {
    label: one.label, stroke: colour(one.colour), width: one.width ?? 1.75, dash: one.dash ?? [],
    fill: one.fill ? faint(one.colour) : undefined, spanGaps: false, paths: one.paths?.(),
    points: { show: one.points ?? false, size: 7, fill: colour(one.colour), stroke: colour('--panel'), width: 1 },
  };
}

/// Words at the top of the plot, where each begins: loads that were measured one after the other.
function drawBands(plot, bands) {
  if (bands.length < 2) return;
  const { ctx, bbox } = plot;
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.strokeStyle = colour('--rule');
  ctx.lineWidth = ratio;
  ctx.setLineDash([]);
  ctx.textBaseline = 'top';
  ctx.textAlign = 'left';
  bands.forEach((band, at) => {
    const left = plot.valToPos(band.at, 'x', true);
    const right = at + 1 < bands.length ? plot.valToPos(bands[at + 1].at, 'x', true) : bbox.left + bbox.width;
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    const fitting = [band.long, band.short].find((words) => ctx.measureText(words).width + 8 * ratio < right - left);
    if (!fitting) return;
    ctx.fillStyle = colour('--panel');
    ctx.fillRect(left + 2 * ratio, bbox.top + ratio, ctx.measureText(fitting).width + 4 * ratio, 14 * ratio);
    ctx.fillStyle = colour('--muted');
    ctx.fillText(fitting, left + 4 * ratio, bbox.top + 3 * ratio);
  });
  ctx.restore();
}

function plotOptions(how, width, readings) {
  return {
    width, height: document.documentElement.classList.contains('paper') ? 170 : 220, padding: [8, 10, 0, 0], legend: { show: false },
    scales: { x: { time: false, ...how.x.scale }, y: { range: yRange(how.y.top, how.bands) } },
    axes: [
      axis(how.x.label, { values: (plot, splits) => (how.x.tick ? splits.map((value) => (value === null ? '' : how.x.tick(value))) : evenTicks(splits)), splits: how.x.splits, size: 30 }),
      axis(how.y.label, { values: (plot, splits) => evenTicks(splits), size: 50 }),
    ],
    series: [{}, ...how.series.map(plotSeries)],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    hooks: {
      draw: [(plot) => drawBands(plot, how.bands ?? [])],
      setCursor: [(plot) => {
        const at = plot.cursor.idx;
        how.series.forEach((one, number) => {
          const value = at === null || at === undefined ? null : plot.data[number + 1][at];
          readings[number].textContent = isNumber(value) ? ` ${figure3(value)}` : '';
        });
      }],
    },
  };
}

function numbersTable(how) {
  const rows = how.data[0].map((x, at) => [cell((how.x.text ?? how.x.tick)(x), x), ...how.series.map((one, number) => cells.figure(how.data[number + 1][at]))]);
  const columns = [{ title: how.x.label }, ...how.series.map((one) => ({ title: one.label }))];
  return table({ caption: `${how.title}${how.whose ?? ''}: ${how.y.label}`, columns, rows, name: `plot-${how.id}` });
}

/// how: {id, title, whose (words behind the title that only a listener needs), about, gist, data: [xs, ys…], series: [{label, colour, dash, fill, points, paths}],
/// x: {label, tick, scale, splits}, y: {label, tick, top}, bands}. The table is built when it is opened.
function figure(how) {
  const named = `${how.title}${how.whose ?? ''}`;
  const canvas = element('div', { class: 'plot', role: 'img', 'aria-label': `${named}. ${how.gist}` });
  const legend = how.series.map(legendItem);
  const long = how.data[0].length > 12;
  const details = element('details', { class: long ? 'long' : null }, element('summary', {}, 'Numbers', element('span', { class: 'hidden' }, ` of ${named}`)));
  const fill = () => {
    if (details.childElementCount === 1) details.append(numbersTable(how));
    markScrolling();
  };
  details.addEventListener('toggle', fill);
  details.addEventListener('fill', fill);
  let plot;
  drawers.push(() => {
    plot?.destroy();
    plot = new uPlot(plotOptions(how, Math.max(canvas.clientWidth, 200), legend.map((one) => one.reading)), how.data, canvas);
    for (const drawn of canvas.querySelectorAll('canvas')) drawn.setAttribute('aria-hidden', 'true');
  });
  return element('figure', { id: `figure-${how.id}` },
    element('figcaption', {}, element('strong', {}, how.title, how.whose ? element('span', { class: 'hidden' }, how.whose) : null), how.about ? element('span', { class: 'about' }, how.about) : null),
    canvas, element('ul', { class: 'legend', 'aria-label': 'Legend' }, legend.map((one) => one.item)), details);
}

const figures = (...made) => element('div', { class: 'figures' }, made.flat().filter(Boolean));

// ---------------------------------------------------------------- over time

/// Spans of time [{at, length, values…}] in order, from one or several timelines.
function spansOf(timelines, origin) {
  return timelines.flatMap(({ started_at, timeline }) => (timeline.started ?? []).map((_, at) => {
    const span = { at: started_at - origin + at * timeline.step_s, length: timeline.step_s };
    for (const name of ['started', 'succeeded', 'failed', 'throttled', 'in_flight', 'output_tokens']) span[name] = timeline[name]?.[at] ?? 0;
    return span;
  })).sort((a, b) => a.at - b.at);
}

/// How much of `name` fell into the 60 s before the end of each span. A span that reaches into them in part counts
/// in part, but for a short one, which is left out: a limit that was kept never looks broken.
function lastMinute(spans, name) {
  return spans.map((span, last) => {
    if (span.length >= 60) return span[name] / span.length * 60;
    const begin = span.at + span.length - 60;
    let total = 0;
    for (let at = last; at >= 0; --at) {
      const within = Math.min(1, (spans[at].at + spans[at].length - begin) / spans[at].length);
      if (within < 1e-6) break;
      if (within > 1 - 1e-6) total += spans[at][name];
      else if (spans[at].length > 2) total += spans[at][name] * within;
    }
    return total;
  });
}

/// Neighbours taken together until few enough are left to be read as a line.
function coarser(spans, most) {
  const length = Math.max(1, Math.ceil(spans.length / most));
  const merged = [];
  for (let at = 0; at < spans.length; at += length) {
    const part = spans.slice(at, at + length);
    const whole = { at: part[0].at, length: sum(part.map((span) => span.length)) };
    for (const name of ['started', 'succeeded', 'failed', 'throttled', 'in_flight', 'output_tokens']) whole[name] = sum(part.map((span) => span[name]));
    whole.in_flight /= part.length;
    merged.push(whole);
  }
  return merged;
}

/// Rows that step from span to span: each value holds from its own time to the next.
const stepped = () => uPlot.paths.stepped({ align: 1 });
function heldTo(spans, values) {
  const last = spans.at(-1);
  return [[...spans.map((span) => span.at), last.at + last.length], ...values.map((row) => [...row, row.at(-1)])];
}

function minuteFigure(id, whose, spans, cap, most, timeAxis, bands) {
  const kinds = [['started', 'started', '--neutral', [2, 3]], ['succeeded', 'succeeded', '--good', []], ['failed', 'failed', '--bad', [7, 3]]];
  const series = kinds.map(([, label, shade, dash]) => ({ label, colour: shade, dash }));
  // Nothing had happened when the first span began.
  const data = [[spans[0].at, ...spans.map((span) => span.at + span.length)], ...kinds.map(([name]) => [0, ...lastMinute(spans, name)])];
  const capped = cap.some((value) => value > 0);
  if (capped) {
    series.push({ label: 'cap', colour: '--cap', dash: [10, 5], width: 2 });
    data.push([cap[0], ...cap].map((value) => (value > 0 ? value : null)));
  }
  const gist = `At most ${count(Math.max(most ?? 0, ...data[1].map(Math.floor)))} requests started in any 60 s${capped ? `; the cap is ${count(Math.max(...cap))}` : '; no cap was set'}.`;
  return figure({ id: `${id}-minute`, title: 'Requests in the preceding 60 s', whose, about: gist, gist, data, series, x: timeAxis, bands, y: { label: 'requests in 60 s' } });
}

function rateFigure(id, whose, spans, timeAxis, bands) {
  const rows = ['succeeded', 'failed'].map((name) => spans.map((span) => span[name] / span.length));
  const seconds = sum(spans.map((span) => span.length));
  const gist = `${figure3(sum(spans.map((span) => span.succeeded)) / seconds)} a second succeeded on average, ${count(sum(spans.map((span) => span.failed)))} failed in all.`;
  return figure({ id: `${id}-rate`, title: 'Requests finished a second', whose, about: gist, gist, data: heldTo(spans, rows), x: timeAxis, bands, y: { label: 'requests a second' },
    series: [{ label: 'succeeded', colour: '--good', paths: stepped, fill: true }, { label: 'failed', colour: '--bad', paths: stepped, dash: [7, 3], fill: true }] });
}

function singleFigure(id, whose, spans, timeAxis, bands, { name, title, label, unit, shade, per }) {
  const row = spans.map((span) => (per ? span[name] / span.length : span[name]));
  const gist = `${figure3(Math.max(...row))} ${unit} at most, ${figure3(sum(spans.map((span, at) => row[at] * span.length)) / sum(spans.map((span) => span.length)))} on average.`;
  return figure({ id: `${id}-${name}`, title, whose, about: gist, gist, data: heldTo(spans, [row]), x: timeAxis, bands, y: { label },
    series: [{ label: unit, colour: shade, paths: stepped, fill: true }] });
}

/// What happened when: timelines [{started_at, timeline, rpm, long, short}], one after the other; `most`: starts in any
/// 60 s, where that is known.
function timeFigures(id, whose, timelines, most) {
  const origin = Math.min(...timelines.map((one) => one.started_at));
  const spans = spansOf(timelines, origin);
  if (spans.length === 0) return null;
  const capAt = (span) => timelines.filter((one) => one.started_at - origin <= span.at + 1e-6).at(-1)?.rpm ?? 0;
  const end = spans.at(-1).at;
  const timeAxis = { label: `time since the start (${end < 60 ? 's' : end < 3600 ? 'min:s' : 'h:min:s'})`, tick: clock };
  const bands = timelines.map((one) => ({ at: one.started_at - origin, long: one.long, short: one.short }));
  const read = coarser(spans, 160);
  return figures(
    minuteFigure(id, whose, spans, spans.map(capAt), most, timeAxis, bands),
    rateFigure(id, whose, read, timeAxis, bands),
    singleFigure(id, whose, read, timeAxis, bands, { name: 'output_tokens', title: 'Output tokens a second', label: 'tokens a second', unit: 'tokens/s', shade: '--series-3', per: true }),
    singleFigure(id, whose, read, timeAxis, bands, { name: 'in_flight', title: 'Requests in flight', label: 'requests', unit: 'in flight', shade: '--series-4' }));
}

// ---------------------------------------------------------------- distributions

/// A step that divides well and is no shorter.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].map((each) => each * power).find((each) => each >= least * 0.999);
}

/// Edges of the bars: even, or, where the values reach over more than a power of ten or so, in equal ratios.
function binEdges(low, high, logarithmic) {
  if (logarithmic) {
    const factor = 10 ** (1 / 12);
    const edges = [10 ** Math.floor(Math.log10(low))];
    while (edges.at(-1) * factor <= low) edges[0] *= factor;
    while (edges.at(-1) <= high) edges.push(edges.at(-1) * factor);
    return edges;
  }
  const width = niceStep(Math.max((high - low) / 36, high * 0.024));
  const edges = [Math.floor(low / width) * width];
  while (edges.at(-1) <= high) edges.push(edges[0] + edges.length * width);
  return edges;
}

function sharesOf(histogram, edges) {
  const total = sum(histogram.map(([, number]) => number));
  const bars = new Array(edges.length - 1).fill(0);
  for (const [value, number] of histogram) {
    let at = edges.findIndex((edge) => edge > value) - 1;
    if (at < 0) at = value < edges[0] ? 0 : bars.length - 1;
    bars[at] += number / total * 100;
  }
  return bars;
}

/// The share of the values that do not pass each x, in percent.
function cumulative(histogram, xs) {
  const total = sum(histogram.map(([, number]) => number));
  let at = 0;
  let passed = 0;
  return xs.map((x) => {
    while (at < histogram.length && histogram[at][0] <= x) passed += histogram[at++][1];
    return passed / total * 100;
  });
}

/// 1, 2 and 5 of each power of ten.
function logSplits(low, high) {
  const splits = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) splits.push(...[1, 2, 5].map((each) => each * power).filter((each) => each >= low && each <= high));
  return splits;
}

/// Two figures of one measure: sets [{label, colour, dash, histogram}].
function distributionFigures(id, title, unit, sets, logarithmicAllowed = true) {
  const filled = sets.filter((set) => set.histogram?.length > 0);
  if (filled.length === 0) return null;
  const values = filled.flatMap((set) => set.histogram.map(([value]) => value));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const logarithmic = logarithmicAllowed && low > 0 && high / low > 15;
  const edges = binEdges(low, high, logarithmic);
  const scale = logarithmic ? { distr: 3, range: [edges[0], edges.at(-1)] } : { range: [edges[0], edges.at(-1)] };
  const x = { label: `${title} (${unit}${logarithmic ? ', logarithmic' : ''})`, text: figure3, scale, ...(logarithmic ? { tick: figure3, splits: () => logSplits(edges[0], edges.at(-1)) } : {}) };
  const quantile = (set, share) => set.histogram[cumulative(set.histogram, set.histogram.map(([value]) => value)).findIndex((part) => part >= share - 1e-9)][0];
  const gist = listed(filled.map((set) => `${filled.length > 1 ? `${set.label}: ` : ''}half within ${figure3(quantile(set, 50))} ${unit}, 99 % within ${figure3(quantile(set, 99))} ${unit}`));
  const about = filled.length > 2 ? null : `${gist[0].toUpperCase()}${gist.slice(1)}.`;
  const xs = [...new Set([edges[0], ...values, edges.at(-1)])].sort((a, b) => a - b);
  const lines = filled.map((set) => ({ label: set.label, colour: set.colour, dash: set.dash }));
  const bars = filled.map((set) => sharesOf(set.histogram, edges));
  return [
    figure({ id: `${id}-distribution`, title, about, gist: `${gist}.`, data: [edges, ...bars.map((row) => [...row, row.at(-1)])], x,
      series: lines.map((line) => ({ ...line, paths: stepped, fill: filled.length < 3 })), y: { label: '% of requests' } }),
    figure({ id: `${id}-cdf`, title: `${title}, cumulative (CDF)`, about: about ? 'The share of the requests that took no longer.' : null, gist: `${gist}.`,
      data: [xs, ...filled.map((set) => cumulative(set.histogram, xs))], x, series: lines.map((line) => ({ ...line, paths: stepped })), y: { label: '% of requests', top: 100 } }),
  ];
}

// ---------------------------------------------------------------- by load

/// Rows over named places: places ["1", "4", …], series [{label, colour, dash, values}].
function placesFigure({ id, title, about, gist, places, series, label, unit, joined = true }) {
  const known = series.filter((one) => one.values.some(isNumber));
  if (known.length === 0) return null;
  return figure({
    id, title, about, gist, data: [places.map((_, at) => at), ...known.map((one) => one.values.map((value) => (isNumber(value) ? value : null)))],
    series: known.map((one) => ({ ...one, points: true, paths: joined ? undefined : () => () => null })),
    x: { label, tick: (at) => places[at] ?? '', scale: { range: [-0.35, places.length - 0.65] }, splits: () => places.map((_, at) => at) },
    y: { label: unit },
  });
}
