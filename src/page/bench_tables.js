// The tables of a benchmark.

const loadColumns = [
  { title: 'Load', words: true },
  { title: 'Requests' },
  { title: 'Failed' },
  { title: 'Throttled' },
  { title: 'requests/s', group: 'Throughput' },
  { title: 'tokens/s', group: 'Throughput' },
  ...measures.flatMap(({ short }) =>
    ['p50', 'p90', 'p99'].map((title) => ({ title, group: short, groupUnit: '(ms)' })),
  ),
  { title: 'Cost', unit: '(USD)' },
];

function loadRow(load) {
  return [
    cell(loadName(load)),
    cells.count(load.requests),
    cells.count(load.failed),
    cells.count(load.throttled),
    cells.figure(load.requests_per_s),
    cells.figure(load.output_tokens_per_s),
    ...measures.flatMap(({ key }) => ['p50', 'p90', 'p99'].map((share) => cells.percentile(load[key], share))),
    cells.dollars(load.cost_usd),
  ];
}

function loadsTable(targets) {
  const rows = targets.flatMap((target) => [
    ...(targets.length > 1 ? [{ group: [swatch(target.colour), ' ', target.shown] }] : []),
    ...target.loads.map(loadRow),
  ]);
  return table({
    caption: targets.length > 1 ? 'Each target under each load' : 'Each load',
    columns: loadColumns,
    rows,
    name: 'loads',
  });
}

const compared = [
  { title: 'Throughput (requests/s)', of: (load) => load.requests_per_s, best: Math.max },
  { title: 'Output (tokens/s)', of: (load) => load.output_tokens_per_s, best: Math.max },
  { title: 'TTFT, median (ms)', of: (load) => load.ttft_ms?.p50, stats: 'ttft_ms', best: Math.min },
  { title: 'TTFT, p99 (ms)', of: (load) => load.ttft_ms?.p99, stats: 'ttft_ms', best: Math.min },
  { title: 'ITL, median (ms)', of: (load) => load.inter_token_ms?.p50, stats: 'inter_token_ms', best: Math.min },
  { title: 'Latency, median (ms)', of: (load) => load.latency_ms?.p50, stats: 'latency_ms', best: Math.min },
  { title: 'Latency, p99 (ms)', of: (load) => load.latency_ms?.p99, stats: 'latency_ms', best: Math.min },
  { title: 'Failed', of: failedShare, text: percent, best: Math.min },
  {
    title: 'Cost (USD)',
    of: (load) => (typeof load.cost_usd === 'string' ? Number(load.cost_usd) : null),
    exact: (load) => load.cost_usd,
  },
];

function comparedCells(measure, loads) {
  const values = loads.map((load) => (load ? measure.of(load) : null));
  const known = values.filter(isNumber);
  const best = measure.best && new Set(known).size > 1 ? measure.best(...known) : null;
  return values.map((value, at) => {
    const star = isNumber(value) && measure.stats ? ofFew(loads[at]?.[measure.stats]) : '';
    const text = measure.exact ? dollars(loads[at]?.cost_usd) : `${(measure.text ?? figure3)(value)}${star}`;
    const shown =
      best !== null && value === best
        ? element('strong', {}, text, element('span', { class: 'hidden' }, ' (best)'))
        : text;
    return cell(shown, measure.exact ? loads[at]?.cost_usd : value);
  });
}

/// A table for each load, with a column for each target. The best value of a row is marked.
function comparisonTables(targets) {
  const columns = [
    { title: 'Measure', words: true },
    ...targets.map((target) => ({ title: target.shown, colour: target.colour })),
  ];
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  return element(
    'div',
    { class: 'side-by-side' },
    keys.map((key, number) => {
      const loads = targets.map((target) => target.loads.find((load) => loadKey(load) === key));
      const rows = compared
        .filter((measure) => loads.some((load) => load && isNumber(measure.of(load))))
        .map((measure) => [cell(measure.title), ...comparedCells(measure, loads)]);
      return table({
        caption: `At ${loadName(loads.find(Boolean))}; the best of each row is bold`,
        name: `comparison-${number}`,
        columns,
        rows,
      });
    }),
  );
}

function methodTable(targets) {
  const rows = targets.flatMap((target) =>
    target.loads.map((load) => [
      cell(targets.length > 1 ? `${target.shown}, ${loadName(load)}` : loadName(load), undefined, {
        colour: targets.length > 1 ? target.colour : null,
      }),
      cells.text(moment(load.started_at)),
      cells.figure(load.duration_s),
      cells.count(load.warmup),
      cells.count(load.rpm || null),
      cells.count(load.most_in_60s),
      cells.figure(load.asked_per_s),
      cells.figure(load.started_per_s),
      cells.percent(load.held_by_cap),
      cells.ms(load.connect_ms?.p50),
      cells.ms(load.ttfb_ms?.p50),
      cells.ms(load.inter_chunk_ms?.p50),
      cells.ms(load.latency_from_intended_ms?.p99),
      cells.figure(load.client_cpu_us_per_request),
      cells.percent(load.client_busy),
    ]),
  );
  const columns = [
    { title: 'Load', words: true },
    { title: 'Began', words: true },
    { title: 'Took', unit: '(s)' },
    { title: 'Warm-up requests' },
    { title: 'Cap', unit: '(a minute)' },
    { title: 'Most in 60 s' },
    { title: 'Starts asked for', unit: '(1/s)' },
    { title: 'Starts', unit: '(1/s)' },
    { title: 'Held by the cap' },
    { title: 'Connect, median', unit: '(ms)' },
    { title: 'First byte, median', unit: '(ms)' },
    { title: 'Between chunks, median', unit: '(ms)' },
    { title: 'Latency from the intended start, p99', unit: '(ms)' },
    { title: 'sluice’s CPU', unit: '(µs a request)' },
    { title: 'sluice busy' },
  ];
  const filled = columns.map((column, at) => at === 0 || rows.some((row) => row[at].text !== none));
  return table({
    caption: 'How each load was measured',
    name: 'method',
    columns: columns.filter((_, at) => filled[at]),
    rows: rows.map((row) => row.filter((_, at) => filled[at])),
  });
}

function inputWords(target) {
  const input = target.input ?? {};
  const what =
    input.kind === 'synthetic'
      ? `prompts made up of ${count(input.prompt_tokens)} tokens, replies of at most ${count(input.max_tokens)}`
      : input.kind === 'jobs'
        ? `the requests of ${listed(input.jobs ?? [])}`
        : 'requests';
  return `${what}, ${target.streamed ? 'streamed' : 'not streamed'}`;
}

const limitKinds = {
  sliding: 'so many in any 60 s',
  bucket: 'a bucket that is refilled',
  fixed: 'so many in each minute of the clock',
  leaky: 'evenly spaced starts',
  none_found: 'none up to what was tried',
  unclear: 'no kind of limit fits what was seen',
};

/// The result of --find-limit for one target, as a sentence.
function limitAnswer({ shown, limit }) {
  const asked = `${plural(limit.requests, 'short request')}, ${count(limit.refused)} refused`;
  if (limit.kind === 'none_found')
    return `No limit of ${shown} was found up to ${count(limit.ceiling)} starts in 60 s (${asked}).`;
  const between =
    isNumber(limit.at_least) && isNumber(limit.at_most)
      ? `, between ${figure3(limit.at_least)} and ${figure3(limit.at_most)}`
      : '';
  const rate = isNumber(limit.rpm)
    ? `${figure3(limit.rpm)} requests a minute${between}`
    : 'a limit that could not be told exactly';
  return `${shown} serves ${rate} (${limit.kind}: ${limitKinds[limit.kind] ?? ''}; ${asked}).`;
}

function limitTable(targets) {
  const found = targets.filter((target) => target.limit);
  if (found.length === 0) return null;
  const columns = [
    { title: 'Target', words: true },
    { title: 'Kind', words: true },
    { title: 'Limit', unit: '(a minute)' },
    { title: 'Burst' },
    { title: 'At least' },
    { title: 'At most' },
    { title: 'Tried up to', unit: '(in 60 s)' },
    { title: 'Asked' },
    { title: 'Refused' },
    { title: 'Cost', unit: '(USD)' },
    { title: 'Evidence', words: true },
  ];
  const rows = found.map(({ shown, colour: shade, limit }) => [
    cell(shown, undefined, { colour: found.length > 1 ? shade : null }),
    cell(`${limit.kind}: ${limitKinds[limit.kind] ?? ''}`),
    cells.figure(limit.rpm),
    cells.count(limit.burst),
    cells.figure(limit.at_least),
    cells.figure(limit.at_most),
    cells.count(limit.ceiling),
    cells.count(limit.requests),
    cells.count(limit.refused),
    cells.dollars(limit.cost_usd),
    cells.text(limit.evidence),
  ]);
  return table({ caption: 'The limit that the relay was found to keep', name: 'limit', columns, rows });
}
