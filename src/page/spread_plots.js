// Figures of the distribution of a measure: a histogram, and the cumulative share of the values.

/// The smallest round step that is not less than `least`.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].map((each) => each * power).find((each) => each >= least * 0.999);
}

/// The edges of the bars. They have even steps or, for values over more than about a power of ten, equal ratios.
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
    bars[at] += (number / total) * 100;
  }
  return bars;
}

/// For each x, the percentage of the values that are not above it.
function cumulative(histogram, xs) {
  const total = sum(histogram.map(([, number]) => number));
  let at = 0;
  let passed = 0;
  return xs.map((x) => {
    while (at < histogram.length && histogram[at][0] <= x) passed += histogram[at++][1];
    return (passed / total) * 100;
  });
}

/// The labels of a logarithmic axis: 1, 2 and 5 times each power of ten.
function logSplits(low, high) {
  const splits = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
    splits.push(...[1, 2, 5].map((each) => each * power).filter((each) => each >= low && each <= high));
  return splits;
}

/// Two figures of one measure, from sets [{label, colour, dash, histogram}].
function distributionFigures(id, title, unit, sets, logarithmicAllowed = true) {
  const filled = sets.filter((set) => set.histogram?.length > 0);
  if (filled.length === 0) return null;
  const values = filled.flatMap((set) => set.histogram.map(([value]) => value));
  const low = Math.min(...values);
  const high = Math.max(...values);
  const logarithmic = logarithmicAllowed && low > 0 && high / low > 15;
  const edges = binEdges(low, high, logarithmic);
  const scale = logarithmic ? { distr: 3, range: [edges[0], edges.at(-1)] } : { range: [edges[0], edges.at(-1)] };
  const x = {
    label: `${title} (${unit}${logarithmic ? ', logarithmic' : ''})`,
    text: figure3,
    scale,
    ...(logarithmic ? { tick: figure3, splits: () => logSplits(edges[0], edges.at(-1)) } : {}),
  };
  const quantile = (set, share) =>
    set.histogram[
      cumulative(
        set.histogram,
        set.histogram.map(([value]) => value),
      ).findIndex((part) => part >= share - 1e-9)
    ][0];
  const gist = listed(
    filled.map(
      (set) =>
        `${filled.length > 1 ? `${set.label}: ` : ''}half within ${figure3(quantile(set, 50))} ${unit}, 99 % within ${figure3(quantile(set, 99))} ${unit}`,
    ),
  );
  const about = filled.length > 2 ? null : `${gist[0].toUpperCase()}${gist.slice(1)}.`;
  const xs = [...new Set([edges[0], ...values, edges.at(-1)])].sort((a, b) => a - b);
  const lines = filled.map((set) => ({ label: set.label, colour: set.colour, dash: set.dash }));
  const bars = filled.map((set) => sharesOf(set.histogram, edges));
  return [
    figure({
      id: `${id}-distribution`,
      title,
      about,
      gist: `${gist}.`,
      data: [edges, ...bars.map((row) => [...row, row.at(-1)])],
      x,
      series: lines.map((line) => ({ ...line, paths: stepped, fill: filled.length < 3 })),
      y: { label: '% of requests' },
    }),
    figure({
      id: `${id}-cdf`,
      title: `${title}, cumulative (CDF)`,
      about: about ? 'The share of the requests that took no longer.' : null,
      gist: `${gist}.`,
      data: [xs, ...filled.map((set) => cumulative(set.histogram, xs))],
      x,
      series: lines.map((line) => ({ ...line, paths: stepped })),
      y: { label: '% of requests', top: 100 },
    }),
  ];
}
