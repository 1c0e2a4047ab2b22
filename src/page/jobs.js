// The page of jobs. It shows their totals and the lines of their results.

const jobName = (path) => String(path).split('/').at(-1);
const statusWords = {
  running: 'is running',
  completed: 'is complete',
  stopped: 'stopped early',
  interrupted: 'was interrupted',
};

function jobsOf(document) {
  return document.jobs.map((job, at) => ({
    ...job,
    shown: jobName(job.job),
    colour: colourOf(at),
    dash: dashOf(at),
    totals: job.totals ?? {},
  }));
}

const totalOfJobs = (jobs, name) => sum(jobs.map((job) => job.totals[name]));

function jobAnswer(job) {
  const { totals } = job;
  const words = [
    `${job.shown} ${totals.store_job ? 'was collected so far' : (statusWords[totals.status] ?? totals.status)}: ${count(totals.succeeded)} of ${plural(totals.requests, 'request')} succeeded` +
      `${totals.failed > 0 ? `, ${count(totals.failed)} failed` : ''}${totals.pending > 0 ? `, ${count(totals.pending)} are pending` : ''}.`,
  ];
  words.push(
    `It took ${duration(totals.wall_s)} and cost ${dollars(totals.cost_usd)} for ${plural(totals.tokens?.completion ?? 0, 'output token')}.`,
  );
  if (job.latency_ms)
    words.push(
      `Half of the replies were whole within ${milliseconds(job.latency_ms.p50)}, 99 % within ${milliseconds(job.latency_ms.p99)}.`,
    );
  return words.join(' ');
}

function jobNotes(jobs) {
  const simulated = jobs.filter((job) => job.simulated > 0);
  const whose = simulated.length < jobs.length ? `${listed(simulated.map((job) => job.shown))}: ` : '';
  const rehearsal =
    simulated.length > 0
      ? note(
          'warn',
          `${whose}A simulated relay answered: nothing was billed, and these are no measurements of a real one.`,
        )
      : null;
  return [
    rehearsal,
    ...jobs.flatMap((job) => {
      const { totals } = job;
      const who = jobs.length > 1 ? `${job.shown}: ` : '';
      return [
        totals.status === 'running'
          ? note('info', `${who}The job is running: this is how it stood at ${moment(job.as_of)}.`)
          : null,
        totals.pending > 0 && totals.status !== 'running'
          ? note(
              'warn',
              `${who}${plural(totals.pending, 'request')} have no result yet; ${totals.store_job ? "'sluice collect' gets more from the store" : 'the same command goes on with them'}.`,
            )
          : null,
        totals.unpriced_requests > 0
          ? note(
              'warn',
              `${who}${plural(totals.unpriced_requests, 'request')} have no price or no usage, and are not in the cost.`,
            )
          : null,
        totals.maybe_billed_attempts > 0
          ? note(
              'info',
              `${who}${plural(totals.maybe_billed_attempts, 'attempt')} ended without a result and may have been billed; they are not in the cost.`,
            )
          : null,
        totals.rejected?.replies > 0
          ? note(
              'info',
              `${who}${plural(totals.rejected.replies, 'reply was', 'replies were')} rejected (--expect). They were billed all the same: ${dollars(totals.rejected.cost_usd)} of the cost${totals.rejected.unpriced_replies > 0 ? `, and ${count(totals.rejected.unpriced_replies)} without a price` : ''}.`,
            )
          : null,
        totals.tokens?.estimated_requests > 0
          ? note(
              'info',
              `${who}The tokens of ${plural(totals.tokens.estimated_requests, 'request')} were counted by sluice, for the relay did not report them.`,
            )
          : null,
        job.unreadable_lines > 0
          ? note(
              'warn',
              `${who}${plural(job.unreadable_lines, 'line')} of the results could not be read, and are in the totals alone.`,
            )
          : null,
      ];
    }),
  ];
}

/// The use of the provider's cache; null if no reply reports it.
function cacheTile({ cache, tokens }) {
  if (!isNumber(cache?.read_share) || !(tokens?.cached > 0 || tokens?.cache_write > 0)) return null;
  const saved = cache.saved_usd;
  const lost = typeof saved === 'string' && saved.startsWith('-');
  return {
    label: 'Read from the cache',
    value: percent(cache.read_share),
    data: cache.read_share,
    under:
      typeof saved !== 'string'
        ? 'of the prompts’ tokens; saved: unknown'
        : lost
          ? `of the prompts’ tokens; writing cost ${dollars(saved.slice(1))} more`
          : `of the prompts’ tokens; saved ${dollars(saved)}`,
  };
}

function jobTiles(jobs) {
  const [job] = jobs;
  const single = jobs.length === 1;
  const requests = totalOfJobs(jobs, 'requests');
  const failed = totalOfJobs(jobs, 'failed');
  const cost = sumOfDecimals(jobs.map(({ totals }) => totals.cost_usd));
  const spread = (stats) => `p90 ${milliseconds(stats.p90)}, p99 ${milliseconds(stats.p99)}${fewWords(stats)}`;
  const timed = (stats, label) =>
    single && stats
      ? { label: `${label}, median`, value: figure3(stats.p50), unit: 'ms', under: spread(stats), data: stats.p50 }
      : null;
  return tiles(
    [
      {
        label: 'Succeeded',
        value: count(totalOfJobs(jobs, 'succeeded')),
        data: totalOfJobs(jobs, 'succeeded'),
        under: `of ${plural(requests, 'request')}`,
      },
      { label: 'Failed', value: count(failed), data: failed, under: percent(ratio(failed, requests)) },
      {
        label: 'Cost',
        value: dollars(cost),
        data: cost,
        under: `${count(sum(jobs.map(({ totals }) => totals.tokens?.total)))} tokens`,
      },
      single
        ? {
            label: 'Time',
            value: duration(job.totals.wall_s),
            data: job.totals.wall_s,
            under: `${figure3(ratio(job.totals.succeeded, job.totals.wall_s))} requests/s`,
          }
        : null,
      single ? cacheTile(job.totals) : null,
      timed(job.ttft_ms, 'TTFT'),
      timed(job.inter_token_ms, 'ITL'),
      timed(job.latency_ms, 'Latency'),
      {
        label: 'Attempts',
        value: count(totalOfJobs(jobs, 'attempts')),
        data: totalOfJobs(jobs, 'attempts'),
        under: `${count(totalOfJobs(jobs, 'retries'))} retries${single ? `, ${count(job.totals.max_requests_in_60s)} at most in 60 s` : ''}`,
      },
    ],
    'jobs',
  );
}

function jobsTable(jobs) {
  const columns = [
    { title: 'Job', words: true },
    { title: 'State', words: true },
    { title: 'Requests' },
    { title: 'Succeeded' },
    { title: 'Failed' },
    { title: 'Pending' },
    { title: 'Attempts' },
    { title: 'Time', unit: '(s)' },
    { title: 'Prompt tokens' },
    { title: 'Output tokens' },
    ...['TTFT', 'Latency'].flatMap((group) =>
      ['p50', 'p90', 'p99'].map((title) => ({ title, group, groupUnit: '(ms)' })),
    ),
    { title: 'Cached', unit: '(of prompts)' },
    { title: 'Cache saved', unit: '(USD)' },
    { title: 'Cost', unit: '(USD)' },
  ];
  const rows = jobs.map((job) => {
    const { totals } = job;
    return [
      cell(job.shown, undefined, { colour: jobs.length > 1 ? job.colour : null }),
      cells.text(totals.status),
      ...['requests', 'succeeded', 'failed', 'pending', 'attempts'].map((name) => cells.count(totals[name])),
      cells.figure(totals.wall_s),
      cells.count(totals.tokens?.prompt),
      cells.count(totals.tokens?.completion),
      ...['ttft_ms', 'latency_ms'].flatMap((key) =>
        ['p50', 'p90', 'p99'].map((share) =>
          cells.percentile(totals[key] ? { ...totals[key], count: job[key]?.count } : null, share),
        ),
      ),
      cells.percent(totals.cache?.read_share),
      cells.dollars(totals.cache?.saved_usd),
      cells.dollars(totals.cost_usd),
    ];
  });
  return table({ caption: jobs.length > 1 ? 'The jobs side by side' : 'The job', columns, rows, name: 'jobs' });
}

/// A table with the requests and the times of each model.
function modelTimes(jobs) {
  const rows = jobs.flatMap((job) =>
    entries(job.model_times).map(([model, times]) => [
      ...(jobs.length > 1 ? [cell(job.shown, undefined, { colour: job.colour })] : []),
      cell(model),
      cells.count(job.totals.models?.[model]?.requests),
      ...['ttft_ms', 'inter_token_ms', 'latency_ms'].flatMap((key) =>
        ['p50', 'p90', 'p99'].map((share) => cells.percentile(times[key], share)),
      ),
    ]),
  );
  if (rows.length === 0) return null;
  const columns = [
    ...(jobs.length > 1 ? [{ title: 'Job', words: true }] : []),
    { title: 'Model', words: true },
    { title: 'Succeeded' },
    ...['TTFT', 'ITL', 'Latency'].flatMap((group) =>
      ['p50', 'p90', 'p99'].map((title) => ({ title, group, groupUnit: '(ms)' })),
    ),
  ];
  return table({ caption: 'Times by model', columns, rows, headers: jobs.length > 1 ? 2 : 1, name: 'models' });
}

function sharesTable(jobs, name, title, what) {
  const rows = jobs.flatMap((job) =>
    entries(job.totals[name]).map(([who, share]) => ({
      where: job.shown,
      colour: jobs.length > 1 ? job.colour : null,
      model: who,
      requests: share.requests,
      prompt: share.tokens?.prompt,
      completion: share.tokens?.completion,
      cost: share.cost_usd ?? null,
    })),
  );
  return rows.length > 0 ? costTable(rows, title, 'Job', what, what === 'Model' ? 'cost' : 'relays') : null;
}

function finishTable(jobs) {
  const rows = jobs.flatMap((job) =>
    entries(job.totals.finish_reasons).map(([reason, number]) => [
      ...(jobs.length > 1 ? [cell(job.shown, undefined, { colour: job.colour })] : []),
      cell(reason),
      cells.count(number),
    ]),
  );
  if (rows.length === 0) return null;
  return table({
    caption: 'How the replies ended',
    columns: [
      ...(jobs.length > 1 ? [{ title: 'Job', words: true }] : []),
      { title: 'Finish reason', words: true },
      { title: 'Choices' },
    ],
    rows,
    headers: jobs.length > 1 ? 2 : 1,
    name: 'finish',
  });
}

const flightName = ({ above, up_to }) => (up_to <= 1 ? '≤ 1' : `${count(above)}–${count(up_to)}`);

function inFlightFigures(jobs) {
  const levels = new Map(
    jobs
      .flatMap((job) => job.by_in_flight ?? [])
      .sort((a, b) => a.up_to - b.up_to)
      .map((level) => [level.up_to, flightName(level)]),
  );
  const places = [...levels.values()];
  const values = (job, key) =>
    [...levels.keys()].map((up_to) => job.by_in_flight.find((level) => level.up_to === up_to)?.[key]);
  return figures(
    [
      ['ttft_ms', 'Time to first token'],
      ['inter_token_ms', 'Inter-token latency'],
    ].map(([key, title]) => {
      const series = jobs.map((job) => ({
        label: jobs.length > 1 ? job.shown : 'mean',
        colour: job.colour,
        dash: job.dash,
        values: values(job, key),
      }));
      const gist = listed(
        series.map(
          (one) =>
            `${jobs.length > 1 ? `${one.label}: ` : ''}mean ${one.values.filter(isNumber).map(milliseconds).join(', ')}`,
        ),
      );
      return placesFigure({
        id: `load-${key}`,
        title: `${title} by load`,
        about: `${gist[0].toUpperCase()}${gist.slice(1)}, by how many requests were in flight.`,
        gist: `${gist}.`,
        places,
        series,
        label: 'requests in flight',
        unit: 'ms',
      });
    }),
  );
}

/// The limit of the run. 0: no limit. null: unknown.
const capOf = (job) => (job.rpm > 0 || isNumber(job.totals.rpm) ? job.rpm : null);

function jobTimes(jobs) {
  return jobs.flatMap((job, at) => {
    if (!(job.timeline?.started?.length > 0)) return [];
    const several = jobs.length > 1;
    return [
      several ? element('h3', {}, swatch(job.colour), ' ', job.shown) : null,
      timeFigures(
        `time-${at}`,
        several ? ` of ${job.shown}` : '',
        [
          {
            started_at: job.timeline.started_at,
            timeline: job.timeline,
            rpm: capOf(job),
            rate: ratio(job.totals.succeeded, job.totals.wall_s),
            long: '',
            short: '',
          },
        ],
        job.totals.max_requests_in_60s,
      ),
    ];
  });
}

const jobWords = [
  [
    'request, attempt',
    'A request is a line of the job; an attempt is one HTTP request sent for it. What failed in passing is tried again.',
  ],
  [
    'over time',
    'The plots place each request by its last attempt, as its line tells; earlier attempts count in the totals alone.',
  ],
  [
    'TTFT',
    'Time to first token: from the attempt’s turn (connection included) to the first content, reasoning, refusal or tool call.',
  ],
  [
    'ITL',
    'Inter-token latency: of a streamed reply, the time from its first token to its end, by its output tokens less one.',
  ],
  ['latency', 'Of the last attempt, from its turn (connection included) to the last byte that was needed.'],
  [
    'by load',
    'Requests are taken together by how many were in flight when they started: the mean over the step of time they started in.',
  ],
  [
    'may have been billed',
    'Attempts sent whole that ended in neither a result nor an HTTP error: cut streams, timeouts, crashes.',
  ],
];

function jobsPage(document) {
  const jobs = jobsOf(document);
  const several = jobs.length > 1;
  const [first] = jobs;
  const of = (name) =>
    jobs.flatMap((job) =>
      (job[name] ?? []).map((one) => ({
        ...one,
        where: several ? job.shown : undefined,
        colour: several ? job.colour : null,
      })),
    );
  const moments = jobs.flatMap((job) => [job.started_at, job.ended_at]).filter(isNumber);
  const head = {
    kind: several ? 'Jobs' : 'Job',
    title: listed(jobs.map((job) => job.shown)),
    facts: [
      moments.length > 0 ? `${moment(Math.min(...moments))} to ${moment(Math.max(...moments))}` : null,
      `sluice ${document.sluice_version ?? ''}`,
      capOf(first) > 0 ? `cap ${count(first.rpm)} requests in 60 s` : capOf(first) === 0 ? 'no cap' : null,
      ...jobs.map((job) => job.job),
    ],
  };
  const spreads = measures.map(({ key, title, short }) => {
    const drawn = distributionFigures(
      key,
      title,
      'ms',
      jobs.map((job) => ({
        label: several ? job.shown : 'requests',
        colour: job.colour,
        dash: job.dash,
        histogram: job.histograms?.[key],
      })),
    );
    return drawn ? section(`spread-${key}`, `${short} distribution`, figures(drawn)) : null;
  });
  const loads = jobs.some((job) =>
    (job.by_in_flight ?? []).some((level) => isNumber(level.ttft_ms) || isNumber(level.inter_token_ms)),
  );
  const errors = errorsTable(
    jobs.map((job) => ({
      name: job.shown,
      colour: several ? job.colour : null,
      requests: job.totals.requests,
      errors: job.totals.errors,
      reasons: job.reasons,
    })),
  );
  return {
    head,
    sections: [
      section(
        'summary',
        'Summary',
        jobs.map((job) =>
          element('p', { class: 'answer' }, several ? [swatch(job.colour), ' '] : null, jobAnswer(job)),
        ),
        jobTiles(jobs),
        jobNotes(jobs),
        several ? jobsTable(jobs) : null,
      ),
      section('time', 'Throughput and errors over time', jobTimes(jobs)),
      ...spreads,
      loads ? section('by-load', 'TTFT and ITL by load', inFlightFigures(jobs)) : null,
      section(
        'cost',
        'Cost and times by model',
        sharesTable(jobs, 'models', 'Cost by model', 'Model'),
        sharesTable(jobs, 'relays', 'Cost by relay', 'Relay'),
        modelTimes(jobs),
      ),
      section('errors', 'Errors', errors ?? paragraph('No request failed.')),
      section(
        'failures',
        'Failed requests',
        failuresTable(of('failures'), totalOfJobs(jobs, 'failed'), [lineColumn, modelColumn]),
      ),
      section(
        'slowest',
        'Slowest requests',
        slowestTable(
          of('slowest')
            .sort((a, b) => b.latency_ms - a.latency_ms)
            .slice(0, 10),
          [lineColumn, modelColumn],
        ),
      ),
      section('details', 'In numbers', several ? null : jobsTable(jobs), finishTable(jobs)),
      glossary([...jobWords, ...commonWords]),
    ],
  };
}
