// Figures with loads, or other named places, on the x axis.

/// A figure of rows over named places: places ["1", "4", …], series [{label, colour, dash, values}].
function placesFigure({ id, title, about, gist, places, series, label, unit, joined = true }) {
  const known = series.filter((one) => one.values.some(isNumber));
  if (known.length === 0) return null;
  return figure({
    id,
    title,
    about,
    gist,
    data: [
      places.map((_, at) => at),
      ...known.map((one) => one.values.map((value) => (isNumber(value) ? value : null))),
    ],
    series: known.map((one) => ({ ...one, points: true, paths: joined ? undefined : () => () => null })),
    x: {
      label,
      tick: (at) => places[at] ?? '',
      scale: { range: [-0.35, places.length - 0.65] },
      splits: () => places.map((_, at) => at),
    },
    y: { label: unit },
  });
}
