// Figures over time.

/// Spans of time [{at, length, values…}] in order, from one or several timelines.
function spansOf(timelines, origin) {
  return timelines
    .flatMap(({ started_at, timeline }) =>
      (timeline.started ?? []).map((_, at) => {
        const span = { at: started_at - origin + at * timeline.step_s, length: timeline.step_s };
        for (const name of ['started', 'succeeded', 'failed', 'throttled', 'in_flight', 'output_tokens'])
          span[name] = timeline[name]?.[at] ?? 0;
        return span;
      }),
    )
    .sort((a, b) => a.at - b.at);
}

/// The amount of `name` in the 60 s before the end of each span. A long span that is only partly in these 60 s counts
/// with this part. A short one is left out, so that a limit that was kept never looks exceeded.
function lastMinute(spans, name) {
  return spans.map((span, last) => {
    if (span.length >= 60) return (span[name] / span.length) * 60;
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

/// Joins neighbouring spans, so that at most `most` remain and the line is readable.
function coarser(spans, most) {
  const length = Math.max(1, Math.ceil(spans.length / most));
  const merged = [];
  for (let at = 0; at < spans.length; at += length) {
    const part = spans.slice(at, at + length);
    const whole = { at: part[0].at, length: sum(part.map((span) => span.length)) };
    for (const name of ['started', 'succeeded', 'failed', 'throttled', 'in_flight', 'output_tokens'])
      whole[name] = sum(part.map((span) => span[name]));
    whole.in_flight /= part.length;
    merged.push(whole);
  }
  return merged;
}

/// A line with steps: each value is shown from its own time to the time of the next value.
const stepped = () => uPlot.paths.stepped({ align: 1 });
function heldTo(spans, values) {
  const last = spans.at(-1);
  return [[...spans.map((span) => span.at), last.at + last.length], ...values.map((row) => [...row, row.at(-1)])];
}

function minuteFigure(id, whose, spans, cap, most, timeAxis, bands) {
  const kinds = [
    ['started', 'started', '--neutral', [2, 3]],
    ['succeeded', 'succeeded', '--good', []],
    ['failed', 'failed', '--bad', [7, 3]],
  ];
  const series = kinds.map(([, label, shade, dash]) => ({ label, colour: shade, dash }));
  // All values are zero at the start of the first span.
  const data = [
    [spans[0].at, ...spans.map((span) => span.at + span.length)],
    ...kinds.map(([name]) => [0, ...lastMinute(spans, name)]),
  ];
  const capped = cap.some((value) => value > 0);
  if (capped) {
    series.push({ label: 'cap', colour: '--cap', dash: [10, 5], width: 2 });
    data.push([cap[0], ...cap].map((value) => (value > 0 ? value : null)));
  }
  const caps = [...new Set(cap.filter((value) => value > 0))];
  const capWords = capped ? `; the cap is ${listed(caps.map(count))}` : cap.some(isNumber) ? '; no cap was set' : '';
  const gist = `At most ${count(Math.max(most ?? 0, ...data[1].map(Math.floor)))} requests started in any 60 s${capWords}.`;
  return figure({
    id: `${id}-minute`,
    title: 'Requests in the preceding 60 s',
    whose,
    about: gist,
    gist,
    data,
    series,
    x: timeAxis,
    bands,
    y: { label: 'requests in 60 s' },
  });
}

/// `timelines` have the same rates as the tiles and tables.
function rateFigure(id, whose, spans, timeAxis, bands, timelines) {
  const rows = ['succeeded', 'failed'].map((name) => spans.map((span) => span[name] / span.length));
  const rates = timelines.filter((one) => isNumber(one.rate));
  const rate = listed(rates.map((one) => `${figure3(one.rate)}${rates.length > 1 ? ` at ${one.long}` : ''}`));
  const gist = `${rate || none} a second succeeded on average, ${count(sum(spans.map((span) => span.failed)))} failed in all.`;
  return figure({
    id: `${id}-rate`,
    title: 'Requests finished a second',
    whose,
    about: gist,
    gist,
    data: heldTo(spans, rows),
    x: timeAxis,
    bands,
    y: { label: 'requests a second' },
    series: [
      { label: 'succeeded', colour: '--good', paths: stepped, fill: true },
      { label: 'failed', colour: '--bad', paths: stepped, dash: [7, 3], fill: true },
    ],
  });
}

function singleFigure(id, whose, spans, timeAxis, bands, { name, title, label, unit, shade, per }) {
  const row = spans.map((span) => (per ? span[name] / span.length : span[name]));
  const gist = `${figure3(Math.max(...row))} ${unit} at most, ${figure3(sum(spans.map((span, at) => row[at] * span.length)) / sum(spans.map((span) => span.length)))} on average.`;
  return figure({
    id: `${id}-${name}`,
    title,
    whose,
    about: gist,
    gist,
    data: heldTo(spans, [row]),
    x: timeAxis,
    bands,
    y: { label },
    series: [{ label: unit, colour: shade, paths: stepped, fill: true }],
  });
}

/// All figures over time. timelines: [{started_at, timeline, rpm, long, short}], one after the other. `most`: the
/// maximum number of starts in any 60 s, if known.
function timeFigures(id, whose, timelines, most) {
  const origin = Math.min(...timelines.map((one) => one.started_at));
  const spans = spansOf(timelines, origin);
  if (spans.length === 0) return null;
  const capAt = (span) => timelines.filter((one) => one.started_at - origin <= span.at + 1e-6).at(-1)?.rpm ?? null;
  const end = spans.at(-1).at;
  const timeAxis = {
    label: `time since the start (${end < 60 ? 's' : end < 3600 ? 'min:s' : 'h:min:s'})`,
    tick: clock,
  };
  const bands = timelines.map((one) => ({ at: one.started_at - origin, long: one.long, short: one.short }));
  const read = coarser(spans, 160);
  return figures(
    minuteFigure(id, whose, spans, spans.map(capAt), most, timeAxis, bands),
    rateFigure(id, whose, read, timeAxis, bands, timelines),
    singleFigure(id, whose, read, timeAxis, bands, {
      name: 'output_tokens',
      title: 'Output tokens a second',
      label: 'tokens a second',
      unit: 'tokens/s',
      shade: '--series-3',
      per: true,
    }),
    singleFigure(id, whose, read, timeAxis, bands, {
      name: 'in_flight',
      title: 'Requests in flight',
      label: 'requests',
      unit: 'in flight',
      shade: '--series-4',
    }),
  );
}
