// The figures of a benchmark: by load, by target, over time.

/// A figure with the loads on the x axis. The gists are the parts of its summary sentence.
function figureByLoad(targets, { key, title, unit }, { gists, places, series }) {
  return placesFigure({
    id: `load-${key}`,
    title: `${title} by load`,
    gist: `${listed(gists)}.`,
    places,
    series,
    label: loadAxis(targets.flatMap((target) => target.loads)),
    unit,
  });
}

/// A measure by load. Shows the quantiles of a single target, or the median and p99 of each of several targets.
function byLoadFigure(targets, { key, title }) {
  const [only] = targets;
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  const at = (target, key_) => target.loads.find((load) => loadKey(load) === key_);
  const places = keys.map((key_) => loadShort(targets.map((target) => at(target, key_)).find(Boolean)));
  const values = (target, share) => keys.map((key_) => at(target, key_)?.[key]?.[share]);
  const series =
    targets.length === 1
      ? ['p50', 'p90', 'p99'].map((share, number) => ({
          label: share,
          colour: colourOf(number),
          dash: dashOf(number),
          values: values(only, share),
        }))
      : targets.flatMap((target) => [
          { label: `${target.shown}, median`, colour: target.colour, values: values(target, 'p50') },
          { label: `${target.shown}, p99`, colour: target.colour, dash: [3, 4], values: values(target, 'p99') },
        ]);
  const gists = targets.map(
    (target) =>
      `${targets.length > 1 ? `${target.shown}: ` : ''}median ${values(target, 'p50').map(milliseconds).join(', ')}`,
  );
  return figureByLoad(targets, { key, title, unit: 'ms' }, { gists, places, series });
}

const courses = [
  { key: 'requests_per_s', title: 'Throughput', unit: 'requests/s', of: (load) => load.requests_per_s },
  { key: 'output_tokens_per_s', title: 'Output', unit: 'tokens/s', of: (load) => load.output_tokens_per_s },
  {
    key: 'failed',
    title: 'Failed requests',
    unit: '% of requests',
    of: (load) => (failedShare(load) === null ? null : failedShare(load) * 100),
  },
];

function courseFigure(targets, { key, title, unit, of }) {
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  const places = keys.map((key_) =>
    loadShort(targets.flatMap((target) => target.loads).find((load) => loadKey(load) === key_)),
  );
  const series = targets.map((target) => ({
    label: targets.length > 1 ? target.shown : unit,
    colour: target.colour,
    dash: target.dash,
    values: keys.map((key_) => {
      const load = target.loads.find((each) => loadKey(each) === key_);
      return load ? of(load) : null;
    }),
  }));
  const gists = series.map(
    (one) => `${targets.length > 1 ? `${one.label}: ` : ''}${one.values.map(figure3).join(', ')} ${unit}`,
  );
  return figureByLoad(targets, { key, title, unit }, { gists, places, series });
}

/// With a single load there is no curve over loads, so the targets are on the x axis.
function byTargetFigure(targets, { key, title }) {
  const series = ['p50', 'p90', 'p99'].map((share, number) => ({
    label: share,
    colour: colourOf(number),
    values: targets.map((target) => target.loads[0]?.[key]?.[share]),
  }));
  const gist = listed(targets.map((target) => `${target.shown}: median ${milliseconds(target.loads[0]?.[key]?.p50)}`));
  return placesFigure({
    id: `load-${key}`,
    title: `${title} by target`,
    gist: `${gist}.`,
    places: targets.map((target) => target.shown),
    series,
    label: 'target',
    unit: 'ms',
    joined: false,
  });
}

function loadFigures(targets) {
  const most = Math.max(...targets.map((target) => target.loads.length));
  if (most > 1) {
    return figures(
      measures.map((measure) => byLoadFigure(targets, measure)),
      courses.map((course) => courseFigure(targets, course)),
    );
  }
  if (targets.length > 1) return figures(measures.map((measure) => byTargetFigure(targets, measure)));
  return paragraph('One load was measured. Several (--concurrency 1,4,16) show how the times grow with the load.');
}

/// For one target: figures with a line for each load. For several: a pair of figures per load, with a line for each
/// target.
function spreadFigures(targets, { key, title }) {
  if (targets.length === 1) {
    const sets = targets[0].loads.map((load, at) => ({
      label: loadName(load),
      colour: colourOf(at),
      dash: dashOf(at),
      histogram: load.histograms?.[key],
    }));
    return distributionFigures(key, title, 'ms', sets);
  }
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  return keys.flatMap((wanted, number) => {
    const pairs = targets
      .map((target) => ({ target, load: target.loads.find((load) => loadKey(load) === wanted) }))
      .filter(({ load }) => load);
    const sets = pairs.map(({ target, load }) => ({
      label: target.shown,
      colour: target.colour,
      dash: target.dash,
      histogram: load.histograms?.[key],
    }));
    return (
      distributionFigures(
        `${key}-${number}`,
        keys.length > 1 ? `${title} at ${loadName(pairs[0].load)}` : title,
        'ms',
        sets,
      ) ?? []
    );
  });
}

function benchTimes(targets) {
  return targets.flatMap((target, at) => {
    const timelines = target.loads
      .filter((load) => load.timeline)
      .map((load) => ({
        started_at: load.started_at,
        timeline: load.timeline,
        rpm: load.rpm,
        rate: load.requests_per_s,
        long: loadName(load),
        short: loadShort(load),
      }));
    if (timelines.length === 0) return [];
    const several = targets.length > 1;
    return [
      several ? element('h3', {}, swatch(target.colour), ' ', target.shown) : null,
      timeFigures(
        `time-${at}`,
        several ? ` at ${target.shown}` : '',
        timelines,
        Math.max(...target.loads.map((load) => load.most_in_60s ?? 0)),
      ),
    ];
  });
}
