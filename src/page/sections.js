// The sections that both the page of a benchmark and the page of jobs use.

const measures = [
  { key: 'ttft_ms', title: 'Time to first token', short: 'TTFT' },
  { key: 'inter_token_ms', title: 'Inter-token latency', short: 'ITL' },
  { key: 'latency_ms', title: 'Latency', short: 'Latency' },
];

/// groups: [{name, colour, requests, errors: {code: number}, reasons: {code: words}}].
function errorsTable(groups) {
  const several = groups.length > 1;
  const rows = groups.flatMap((group) =>
    entries(group.errors)
      .sort((a, b) => b[1] - a[1])
      .map(([code, number]) => [
        ...(several ? [cell(group.name, undefined, { colour: group.colour })] : []),
        cell(code, undefined, { mark: 'whole' }),
        cells.count(number),
        cells.percent(ratio(number, group.requests)),
        cells.text(group.reasons?.[code]),
      ]),
  );
  if (rows.length === 0) return null;
  const told = groups.some((group) => entries(group.reasons).length > 0);
  const columns = [
    ...(several ? [{ title: 'Where', words: true }] : []),
    { title: 'Error', words: true },
    { title: 'Requests' },
    { title: 'Share of all' },
    { title: 'For example', words: true },
  ].slice(0, told ? undefined : -1);
  return table({
    caption: 'Errors by HTTP status or code',
    columns,
    rows: told ? rows : rows.map((row) => row.slice(0, -1)),
    headers: several ? 2 : 1,
    name: 'errors',
  });
}

/// A table with a row for each request. `columns`: [{title, unit, words, of: (request) => cell}]. Columns without
/// values are left out.
function requestsTable(caption, name, requests, columns) {
  const shown = columns.filter((column) => column.always || requests.some((one) => column.of(one).text !== none));
  return table({ caption, name, columns: shown, rows: requests.map((one) => shown.map((column) => column.of(one))) });
}

const idColumn = {
  title: 'Id',
  words: true,
  always: true,
  of: (one) => cell(one.id ?? none, undefined, { mark: 'code' }),
};
const requestIdColumn = {
  title: 'Relay’s request id',
  words: true,
  of: (one) => cell(one.request_id || none, undefined, { mark: 'code' }),
};
const startedColumn = {
  title: 'Started',
  words: true,
  of: (one) => cell(moment(one.started_at), one.started_at ?? undefined),
};
const whereColumn = {
  title: 'Where',
  words: true,
  of: (one) => cell(one.where ?? none, undefined, { colour: one.colour }),
};
const modelColumn = { title: 'Model', words: true, of: (one) => cell(one.model ?? none) };
const lineColumn = { title: 'Line', of: (one) => cells.count(one.line) };
const attemptsColumn = { title: 'Attempts', of: (one) => cells.count(one.attempts) };

function slowestTable(requests, more = []) {
  if (requests.length === 0) return null;
  return requestsTable(`The ${count(requests.length)} slowest of the requests that succeeded`, 'slowest', requests, [
    idColumn,
    whereColumn,
    ...more,
    { title: 'Latency', unit: '(ms)', of: (one) => cells.ms(one.latency_ms) },
    { title: 'TTFT', unit: '(ms)', of: (one) => cells.ms(one.ttft_ms) },
    { title: 'Output tokens', of: (one) => cells.count(one.completion_tokens) },
    attemptsColumn,
    startedColumn,
    requestIdColumn,
  ]);
}

function failuresTable(requests, all, more = []) {
  if (requests.length === 0) return null;
  const caption =
    requests.length < all
      ? `${count(requests.length)} of the ${count(all)} requests that failed`
      : 'The requests that failed';
  return requestsTable(caption, 'failures', requests, [
    idColumn,
    whereColumn,
    ...more,
    { title: 'Error', words: true, always: true, of: (one) => cell(one.error ?? none, undefined, { mark: 'whole' }) },
    { title: 'What was said', words: true, of: (one) => cell(one.message || none, undefined, { mark: 'message' }) },
    attemptsColumn,
    startedColumn,
    requestIdColumn,
  ]);
}

/// Rows {where, model, requests, prompt, completion, cost}. A bar shows each cost relative to the highest cost.
function costTable(rows, caption, whereTitle, whatTitle = 'Model', name = 'cost') {
  const most = Math.max(...rows.map((row) => Number(row.cost) || 0));
  const several = new Set(rows.map((row) => row.where)).size > 1;
  const columns = [
    ...(several ? [{ title: whereTitle, words: true }] : []),
    { title: whatTitle, words: true },
    { title: 'Succeeded' },
    { title: 'Prompt tokens' },
    { title: 'Output tokens' },
    { title: 'Cost', unit: '(USD)' },
    { title: 'Cost of 1,000 requests', unit: '(USD, rounded)' },
  ];
  const made = table({
    caption,
    columns,
    name,
    headers: several ? 2 : 1,
    rows: rows.map((row) => [
      ...(several ? [cell(row.where, undefined, { colour: row.colour })] : []),
      cell(row.model),
      cells.count(row.requests),
      cells.count(row.prompt),
      cells.count(row.completion),
      cells.dollars(row.cost),
      cell(row.cost === null || !row.requests ? none : `$${figure3((Number(row.cost) / row.requests) * 1000)}`),
    ]),
  });
  if (rows.length < 2) return made;
  made.querySelectorAll('tbody tr').forEach((line, at) => {
    const amount = line.children[line.children.length - 2];
    amount.classList.add('bar');
    amount.style.setProperty('--part', most > 0 ? (Number(rows[at].cost) || 0) / most : 0);
  });
  return made;
}

function glossary(words) {
  return section(
    'glossary',
    'What the words mean',
    element(
      'dl',
      { class: 'glossary' },
      words.map(([word, meaning]) => element('div', {}, element('dt', {}, word), element('dd', {}, meaning))),
    ),
  );
}

const commonWords = [
  ['p50, p90, p99', 'The value that 50, 90 or 99 of 100 requests do not pass, told to within 1 %. p50 is the median.'],
  ['cumulative', 'For each time, the share of the requests that took no longer.'],
  [
    'cap',
    'sluice’s own limit: so many requests start in any 60 s. Where it holds, the relay may be able to serve more.',
  ],
  ['in the preceding 60 s', 'For each moment, what happened in the minute before it, as a limit by the minute counts.'],
  ['in flight', 'Requests that were sent and whose reply has not ended.'],
  ['output tokens', 'Tokens of the replies, reasoning included, by the usage that the relay reports.'],
  [
    'cost',
    'By the price table of sluice or the one it was given, exact to the last digit; a dash where the model has no price.',
  ],
];
