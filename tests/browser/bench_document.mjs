// Random documents in the format of `sluice bench --json`, from a seed. They are computed from simulated requests,
// so that all numbers of a document are consistent.

// Random numbers from a seed (mulberry32).
function dice(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, spread: (median, sigma) => median * Math.exp(sigma * normal()) };
}

const rounded = (value) => Math.round(value * 1000) / 1000;

function stats(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => rounded(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]);
  return {
    mean: rounded(values.reduce((a, b) => a + b, 0) / values.length),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    max: at(1),
    count: values.length,
  };
}

// A histogram with the program's own steps: 1/128 of a power of two.
function histogram(values) {
  const steps = new Map();
  for (const value of values) {
    const width = 2 ** Math.floor(Math.log2(Math.max(value, 0.064))) / 64;
    const middle = rounded((Math.floor(value / width) + 0.5) * width);
    steps.set(middle, (steps.get(middle) ?? 0) + 1);
  }
  return [...steps].sort((a, b) => a[0] - b[0]);
}

// Simulates a server with the given speed: `count` requests with `load` in flight, under the client's own limit, which
// includes all earlier `starts`.
function requests(random, { load, count, rpm, ttft, itl, failing, limit, from, starts }) {
  const free = Array.from({ length: load }, () => from); // when each slot is
  return Array.from({ length: count }, (_, number) => {
    free.sort((a, b) => a - b);
    let start = Math.max(free[0], starts.at(-1) ?? 0) + 0.001;
    if (rpm > 0 && starts.length >= rpm) start = Math.max(start, starts.at(-rpm) + 60);
    starts.push(start);
    const id = `r-${number + 1}`;
    const crowd = 1 + (load / limit) ** 2;
    const fate = random.uniform();
    if (fate < failing) {
      const [error, message] =
        fate < failing / 2
          ? ['429', '当前分组上游负载已饱和，请稍后再试']
          : fate < 0.8 * failing
            ? ['500', 'The server had an error while processing your request.']
            : ['stream_interrupted', 'the stream ended without a finish reason'];
      const latency = random.spread(0.08 * crowd, 0.3);
      free[0] = start + latency;
      return { id, start, end: start + latency, latency_ms: latency * 1000, error, message };
    }
    const first = random.spread(ttft * crowd, 0.35);
    const each = random.spread(itl * crowd, 0.12);
    const completion = 16 + Math.floor(random.uniform() * 96);
    const latency = first + each * (completion - 1);
    free[0] = start + latency;
    return {
      id,
      start,
      end: start + latency,
      latency_ms: latency * 1000,
      ttft_ms: first * 1000,
      inter_token_ms: each * 1000,
      completion,
      prompt: 64,
      connect_ms: number < load ? random.spread(24, 0.2) : null,
    };
  });
}

function timeline(all, step_s = 1) {
  const last = Math.max(...all.map((one) => one.end));
  const busy = (one, step) =>
    Math.max(0, Math.min(one.end, (step + 1) * step_s) - Math.max(one.start, step * step_s)) / step_s;
  const steps = Array.from({ length: Math.floor(last / step_s) + 1 }, (_, i) => i);
  const within = (time, step) => Math.floor(time / step_s) === step;
  const count = (test) => steps.map((step) => all.filter((one) => test(one, step)).length);
  return {
    step_s,
    started: count((one, step) => within(one.start, step)),
    succeeded: count((one, step) => !one.error && within(one.end, step)),
    failed: count((one, step) => one.error && within(one.end, step)),
    throttled: count((one, step) => one.error === '429' && within(one.end, step)),
    in_flight: steps.map((step) => rounded(all.reduce((total, one) => total + busy(one, step), 0))),
    output_tokens: steps.map((step) =>
      all.filter((one) => !one.error && within(one.end, step)).reduce((sum, one) => sum + one.completion, 0),
    ),
  };
}

function mostInAMinute(all) {
  const starts = all.map((one) => one.start).sort((a, b) => a - b);
  return Math.max(...starts.map((start, i) => starts.filter((other, j) => j >= i && other < start + 60).length));
}

// Converts units of 1e-8 USD to exact dollars as text.
function dollars(units) {
  const text = String(units).padStart(9, '0');
  return `${text.slice(0, -8)}.${text.slice(-8)}`.replace(/\.?0+$/, '');
}

/// The exact sum of such texts.
function sumOf(texts) {
  const units = (text) => {
    const [whole, fraction = ''] = text.split('.');
    return BigInt(whole + fraction.padEnd(8, '0'));
  };
  return dollars(texts.reduce((sum, text) => sum + units(text), 0n));
}

/// The successes by model: every third request uses another model.
function modelsOf(good, model) {
  const models = {};
  good.forEach((one, at) => {
    const share = (models[at % 3 === 2 ? `${model}-2024-07-18` : model] ??= {
      requests: 0,
      prompt_tokens: 0,
      completion_tokens: 0,
    });
    share.requests += 1;
    share.prompt_tokens += one.prompt;
    share.completion_tokens += one.completion;
  });
  for (const share of Object.values(models))
    share.cost_usd = dollars(share.prompt_tokens * 15 + share.completion_tokens * 60);
  return models;
}

function load(random, how, from, starts) {
  const all = requests(random, { ...how, from, starts }).map((one) => ({
    ...one,
    start: one.start - from,
    end: one.end - from,
  }));
  const started_at = began + from;
  const good = all.filter((one) => !one.error);
  const bad = all.filter((one) => one.error);
  const duration_s = rounded(Math.max(...all.map((one) => one.end)) - all[0].start);
  const prompt = good.length * 64;
  const completion = good.reduce((sum, one) => sum + one.completion, 0);
  const errors = {};
  for (const one of bad) errors[one.error] = (errors[one.error] ?? 0) + 1;
  const ttft = good.map((one) => one.ttft_ms);
  const itl = good.map((one) => one.inter_token_ms);
  const latency = good.map((one) => one.latency_ms);
  const request_id = (one) => `2026112412${one.id.slice(2).padStart(6, '0')}abcdef`;
  const open = how.rate !== undefined;
  return {
    concurrency: open ? null : how.load,
    rate: how.rate ?? null,
    rate_kind: open ? 'poisson' : null,
    rpm: how.rpm,
    requests: all.length,
    succeeded: good.length,
    failed: bad.length,
    throttled: errors['429'] ?? 0,
    never_started: 0,
    warmup: 2,
    started_at: rounded(started_at),
    duration_s,
    requests_per_s: rounded(good.length / duration_s),
    started_per_s: rounded((all.length - 1) / (all.at(-1).start - all[0].start)),
    asked_per_s: open ? rounded(how.rate / 60) : null,
    output_tokens_per_s: rounded(completion / duration_s),
    tokens: { prompt, cached: 0, completion, reasoning: 0, estimated_requests: 0 },
    connect_ms: stats(good.map((one) => one.connect_ms).filter((value) => value !== null)),
    ttfb_ms: stats(ttft.map((value) => value * 0.9)),
    ttft_ms: stats(ttft),
    first_content_ms: stats(ttft),
    inter_token_ms: stats(itl),
    inter_chunk_ms: stats(itl),
    latency_ms: stats(latency),
    latency_from_intended_ms: open ? stats(latency.map((value) => value * 1.05)) : null,
    output_tokens_per_s_each: stats(good.map((one) => (one.completion / one.latency_ms) * 1000)),
    errors,
    cost_usd: dollars(prompt * 15 + completion * 60),
    models: modelsOf(good, how.model),
    client_cpu_us_per_request: rounded(random.spread(60, 0.1)),
    client_busy: 0.02,
    held_by_budget: 0,
    held_by_cap: how.rpm > 0 && duration_s > 30 && how.load > 1 ? 0.41 : 0,
    most_in_60s: mostInAMinute(all),
    stopped: null,
    histograms: {
      ttft_ms: histogram(ttft),
      first_content_ms: histogram(ttft),
      inter_token_ms: histogram(itl),
      latency_ms: histogram(latency),
      latency_from_intended_ms: open ? histogram(latency.map((value) => value * 1.05)) : [],
    },
    timeline: timeline(all),
    slowest: [...good]
      .sort((a, b) => b.latency_ms - a.latency_ms)
      .slice(0, 10)
      .map((one) => ({
        id: one.id,
        request_id: request_id(one),
        started_at: rounded(started_at + one.start),
        latency_ms: rounded(one.latency_ms),
        ttft_ms: rounded(one.ttft_ms),
        completion_tokens: one.completion,
      })),
    failures: bad.slice(0, 20).map((one) => ({
      id: one.id,
      request_id: one.error === 'stream_interrupted' ? '' : request_id(one),
      started_at: rounded(started_at + one.start),
      error: one.error,
      message: one.message,
    })),
  };
}

const began = 1700000000.123;

export function target({
  seed = 1,
  url = 'https://relay.example/v1',
  name,
  model = 'gpt-4o-mini',
  loads = [1, 4, 16, 64],
  rate,
  count = 120,
  rpm = 200,
  ttft = 0.21,
  itl = 0.008,
  failing = 0.02,
  limit = 40,
} = {}) {
  const random = dice(seed);
  let at = 0;
  const starts = [];
  const done = [];
  const targets =
    rate === undefined ? loads.map((load) => ({ load })) : [].concat(rate).map((each) => ({ load: 8, rate: each }));
  for (const each of targets) {
    done.push(load(random, { ...each, count, rpm, ttft, itl, failing, limit, model }, at, starts));
    at += done.at(-1).duration_s + 2;
  }
  return {
    target: url,
    ...(name ? { name } : {}),
    model,
    sluice_version: '0.1.0',
    simulated: false,
    streamed: true,
    started_at: began,
    input: { kind: 'synthetic', prompt_tokens: 64, max_tokens: 128 },
    cost_usd: sumOf(done.map((each) => each.cost_usd)),
    stopped: null,
    limit: null,
    loads: done,
  };
}

export function targets(model, each) {
  return { model, targets: each.map((one) => target({ model, ...one })), ranking: null };
}
