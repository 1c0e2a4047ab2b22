// The page of a benchmark: one or several targets, each under one or several loads.

const limitWords = [
  [
    'limit',
    'How many requests a minute the relay serves in the long run; at least, at most: what the answers leave open.',
  ],
  ['burst', 'How many it serves at once after a pause.'],
  [
    'kind',
    'sliding: so many in any 60 s; fixed: so many in each minute of the relay’s clock; bucket: a store that is refilled steadily; leaky: starts evenly spaced.',
  ],
];

const benchWords = [
  [
    'load',
    'How many requests are kept in flight (the next starts when one ends), or how many starts are asked for a minute, whether replies have come or not.',
  ],
  ['throughput', 'Requests that succeeded, by the time from the first send to the last byte of the load.'],
  ['throttled', 'Of the failed: refused with the status 429, too many requests.'],
  [
    'TTFT',
    'Time to first token: from sending the request to the first piece of content, reasoning, refusal or tool call that is not empty.',
  ],
  [
    'ITL',
    'Inter-token latency: of each reply, the time from its first to its last piece, by its output tokens less one.',
  ],
  ['latency', 'From sending the request to the last byte of its reply. Nothing is tried again: each failure counts.'],
  [
    'latency from the intended start',
    'The same from the moment that the asked-for rate set, so that a queue before the relay is not left out.',
  ],
  ['held by the cap', 'The share of the time in which a start was due, and sluice’s own cap made it wait.'],
  ['sluice busy', 'The share of the time in which the measuring program itself ran or waited for a processor.'],
];

function benchFailures(targets, name) {
  return targets.flatMap((target) =>
    target.loads.flatMap((load) =>
      (load[name] ?? []).map((one) => ({
        ...one,
        where:
          [
            targets.length > 1 ? target.shown : null,
            targets.length > 1 || target.loads.length > 1 ? loadName(load) : null,
          ]
            .filter(Boolean)
            .join(', ') || undefined,
        colour: targets.length > 1 ? target.colour : null,
      })),
    ),
  );
}

function benchErrors(targets) {
  return targets.flatMap((target) =>
    target.loads.map((load) => ({
      name: `${targets.length > 1 ? `${target.shown}, ` : ''}${loadName(load)}`,
      colour: targets.length > 1 ? target.colour : null,
      requests: load.requests,
      errors: load.errors,
    })),
  );
}

/// The requests, tokens and cost of each model over all loads; if the document has no models, those of the target.
function modelShares(target, several) {
  const whose = { where: target.shown, colour: several ? target.colour : null };
  const names = [...new Set(target.loads.flatMap((load) => Object.keys(load.models ?? {})))];
  if (names.length === 0) {
    const tokens = (name) => sum(target.loads.map((load) => load.tokens?.[name]));
    const requests = totalOf([target], 'succeeded');
    return [
      {
        ...whose,
        model: target.model,
        requests,
        prompt: tokens('prompt'),
        completion: tokens('completion'),
        cost: costOf(target),
      },
    ];
  }
  return names.map((model) => {
    const shares = target.loads.map((load) => load.models?.[model]).filter(Boolean);
    const total = (name) => sum(shares.map((share) => share[name]));
    const priced = shares.every((share) => typeof share.cost_usd === 'string');
    const cost = priced ? sumOfDecimals(shares.map((share) => share.cost_usd)) : null;
    return {
      ...whose,
      model,
      requests: total('requests'),
      prompt: total('prompt_tokens'),
      completion: total('completion_tokens'),
      cost,
    };
  });
}

function benchPage(document) {
  const all = targetsOf(document);
  const targets = all.filter((target) => target.loads.length > 0);
  const [first = all[0] ?? {}] = targets;
  const model = document.model ?? first.model;
  if (all.length === 0)
    return {
      head: { kind: 'Benchmark', title: model ?? 'no target', facts: [] },
      sections: [section('summary', 'Summary', note('warn', 'No target was measured.'))],
    };
  const head = {
    kind: 'Benchmark',
    title: all.length > 1 ? `${model} at ${listed(all.map((target) => target.shown))}` : `${model} at ${first.shown}`,
    facts: [
      moment(first.started_at),
      `sluice ${first.sluice_version ?? ''}`,
      inputWords(first),
      ...all.map((target) => (target.name ? `${target.name}: ${target.target}` : target.target)),
    ],
  };
  const limits = all
    .filter((target) => target.limit)
    .map((target) => element('p', { class: 'answer' }, limitAnswer(target)));
  const unmeasured = all
    .filter((target) => target.loads.length === 0 && !target.limit)
    .map((target) => note('warn', `${target.shown}: nothing was measured. ${target.stopped ?? ''}`));
  if (targets.length === 0) {
    return {
      head,
      sections: [
        section('summary', 'Summary', limits, unmeasured, benchNotes(all.filter((target) => target.limit))),
        section('limit', 'The relay’s limit', limitTable(all)),
        limits.length > 0 ? glossary(limitWords) : null,
      ],
    };
  }
  const several = targets.length > 1;
  const slowest = benchFailures(targets, 'slowest')
    .sort((a, b) => b.latency_ms - a.latency_ms)
    .slice(0, 10);
  return {
    head,
    sections: [
      section(
        'summary',
        'Summary',
        rankingAnswer(document.ranking),
        element('p', { class: 'answer' }, several ? comparedAnswer(targets, model) : oneAnswer(first)),
        limits,
        several ? comparisonTables(targets) : benchTiles(first),
        unmeasured,
        benchNotes(targets),
      ),
      section('loads', 'Results by load', loadsTable(targets)),
      section('limit', 'The relay’s limit', limitTable(all)),
      section('by-load', 'TTFT, ITL and throughput by load', loadFigures(targets)),
      section('time', 'Throughput and errors over time', benchTimes(targets)),
      ...measures.map(({ key, title, short }) => {
        const drawn = spreadFigures(targets, { key, title });
        return drawn?.length > 0 ? section(`spread-${key}`, `${short} distribution`, figures(drawn)) : null;
      }),
      section(
        'cost',
        'Cost by model',
        costTable(
          targets.flatMap((target) => modelShares(target, several)),
          'What all loads cost together',
          'Target',
        ),
      ),
      section('errors', 'Errors', errorsTable(benchErrors(targets)) ?? paragraph('No request failed.')),
      section(
        'failures',
        'Failed requests',
        failuresTable(benchFailures(targets, 'failures'), totalOf(targets, 'failed')),
      ),
      section('slowest', 'Slowest requests', slowestTable(slowest)),
      section('method', 'How it was measured', methodTable(targets)),
      glossary([...benchWords, ...(limits.length > 0 ? limitWords : []), ...commonWords]),
    ],
  };
}
