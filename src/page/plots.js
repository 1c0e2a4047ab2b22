// Figures: a plot, its legend, and its numbers as a table. A plot is redrawn if the colours, the width or the
// medium (screen or paper) change.

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

/// A sample of the line with its dashes, for the legend.
function lineSample(one) {
  const drawing = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  for (const [name, value] of [
    ['x1', 0],
    ['x2', 26],
    ['y1', 4],
    ['y2', 4],
    ['stroke-width', one.width ?? 2],
    ['stroke-dasharray', (one.dash ?? []).join(' ')],
  ])
    line.setAttribute(name, value);
  line.style.stroke = `var(${one.colour})`;
  for (const [name, value] of [
    ['width', 26],
    ['height', 8],
    ['aria-hidden', 'true'],
    ['class', 'line'],
  ])
    drawing.setAttribute(name, value);
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
    stroke: colour('--muted'),
    label,
    labelSize: 18,
    labelFont: '11px system-ui, sans-serif',
    font: '11px system-ui, sans-serif',
    grid: { stroke: colour('--grid'), width: 1 },
    ticks: { stroke: colour('--grid'), width: 1, size: 4 },
    gap: 4,
    ...more,
  };
}

/// The range from zero to `top`, or to a little above the largest value, with room for the names of the bands.
function yRange(top, bands) {
  const room = bands?.length > 1 ? 1.2 : 1.08;
  return (plot, low, high) => [0, top ?? (Number.isFinite(high) && high > 0 ? high : 1) * room];
}

function plotSeries(one) {
  return {
    label: one.label,
    stroke: colour(one.colour),
    width: one.width ?? 1.75,
    dash: one.dash ?? [],
    fill: one.fill ? faint(one.colour) : undefined,
    spanGaps: false,
    paths: one.paths?.(),
    points: { show: one.points ?? false, size: 7, fill: colour(one.colour), stroke: colour('--panel'), width: 1 },
  };
}

/// Names the bands (loads that were measured one after the other) at the top of the plot, where each band begins.
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
    width,
    height: document.documentElement.classList.contains('paper') ? 170 : 220,
    padding: [8, 10, 0, 0],
    legend: { show: false },
    scales: { x: { time: false, ...how.x.scale }, y: { range: yRange(how.y.top, how.bands) } },
    axes: [
      axis(how.x.label, {
        values: (plot, splits) =>
          how.x.tick ? splits.map((value) => (value === null ? '' : how.x.tick(value))) : evenTicks(splits),
        splits: how.x.splits,
        size: 30,
      }),
      axis(how.y.label, { values: (plot, splits) => evenTicks(splits), size: 50 }),
    ],
    series: [{}, ...how.series.map(plotSeries)],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    hooks: {
      draw: [(plot) => drawBands(plot, how.bands ?? [])],
      setCursor: [
        (plot) => {
          const at = plot.cursor.idx;
          how.series.forEach((one, number) => {
            const value = at === null || at === undefined ? null : plot.data[number + 1][at];
            readings[number].textContent = isNumber(value) ? ` ${figure3(value)}` : '';
          });
        },
      ],
    },
  };
}

function numbersTable(how) {
  const rows = how.data[0].map((x, at) => [
    cell((how.x.text ?? how.x.tick)(x), x),
    ...how.series.map((one, number) => cells.figure(how.data[number + 1][at])),
  ]);
  const columns = [{ title: how.x.label }, ...how.series.map((one) => ({ title: one.label }))];
  return table({ caption: `${how.title}${how.whose ?? ''}: ${how.y.label}`, columns, rows, name: `plot-${how.id}` });
}

/// how: {id, title, whose (words after the title that only a screen reader needs), about, gist, data: [xs, ys…], series: [{label, colour, dash, fill, points, paths}],
/// x: {label, tick, scale, splits}, y: {label, tick, top}, bands}. The table is built when it is opened.
function figure(how) {
  const named = `${how.title}${how.whose ?? ''}`;
  const canvas = element('div', { class: 'plot', role: 'img', 'aria-label': `${named}. ${how.gist}` });
  const legend = how.series.map(legendItem);
  const long = how.data[0].length > 12;
  const details = element(
    'details',
    { class: long ? 'long' : null },
    element('summary', {}, 'Numbers', element('span', { class: 'hidden' }, ` of ${named}`)),
  );
  const fill = () => {
    if (details.childElementCount === 1) details.append(numbersTable(how));
    markScrolling();
  };
  details.addEventListener('toggle', fill);
  details.addEventListener('fill', fill);
  let plot;
  drawers.push(() => {
    plot?.destroy();
    plot = new uPlot(
      plotOptions(
        how,
        Math.max(canvas.clientWidth, 200),
        legend.map((one) => one.reading),
      ),
      how.data,
      canvas,
    );
    for (const drawn of canvas.querySelectorAll('canvas')) drawn.setAttribute('aria-hidden', 'true');
  });
  return element(
    'figure',
    { id: `figure-${how.id}` },
    element(
      'figcaption',
      {},
      element('strong', {}, how.title, how.whose ? element('span', { class: 'hidden' }, how.whose) : null),
      how.about ? element('span', { class: 'about' }, how.about) : null,
    ),
    canvas,
    element(
      'ul',
      { class: 'legend', 'aria-label': 'Legend' },
      legend.map((one) => one.item),
    ),
    details,
  );
}

const figures = (...made) => element('div', { class: 'figures' }, made.flat().filter(Boolean));
