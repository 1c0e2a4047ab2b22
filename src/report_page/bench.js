// The page of a benchmark: one or several targets, each under one or several loads.

const loadShort = (load) => (Number.isInteger(load.concurrency ?? load.rate) ? count(load.concurrency ?? load.rate) : figure3(load.rate));
const loadName = (load) => `${loadShort(load)} ${isNumber(load.concurrency) ? 'in flight' : 'a minute'}`;
const loadAxis = (loads) => (loads.every((load) => isNumber(load.concurrency)) ? 'requests in flight'
  : loads.every((load) => !isNumber(load.concurrency)) ? 'starts asked for a minute' : 'load');
const loadKey = (load) => `${load.concurrency ?? ''}/${load.rate ?? ''}`;
const targetName = (target) => target.name ?? host(target.target);
const bestLoad = (target) => target.loads.reduce((best, load) => ((load.requests_per_s ?? 0) > (best.requests_per_s ?? 0) ? load : best));
const failedShare = (load) => ratio(load.failed, load.requests);
const totalOf = (targets, name) => sum(targets.flatMap((target) => target.loads.map((load) => load[name])));
const costOf = (target) => (target.loads.every((load) => typeof load.cost_usd === 'string') ? sumOfDecimals(target.loads.map((load) => load.cost_usd)) : null);

/// Targets with at least one load; colours are given by their order.
function targetsOf(document) {
  const all = document.targets ?? [document];
  return all.map((target, at) => ({ ...target, loads: target.loads ?? [], shown: targetName(target), colour: colourOf(at), dash: dashOf(at) }));
}

// ---------------------------------------------------------------- the answer

function oneAnswer(target) {
  const best = bestLoad(target);
  const words = [`At ${loadName(best)}, ${target.model} at ${target.shown} answered ${figure3(best.requests_per_s)} requests a second`
    + `${isNumber(best.output_tokens_per_s) ? ` with ${figure3(best.output_tokens_per_s)} output tokens a second` : ''}.`];
  if (best.ttft_ms) words.push(`Half of the first tokens came within ${milliseconds(best.ttft_ms.p50)}, 99 % within ${milliseconds(best.ttft_ms.p99)}.`);
  else if (best.latency_ms) words.push(`Half of the replies came within ${milliseconds(best.latency_ms.p50)}, 99 % within ${milliseconds(best.latency_ms.p99)}.`);
  const [first, last] = [target.loads[0], target.loads.at(-1)];
  if (target.loads.length > 1 && first.ttft_ms && last.ttft_ms) {
    words.push(`From ${isNumber(first.concurrency) && isNumber(last.concurrency) ? loadShort(first) : loadName(first)} to ${loadName(last)}, the median time to first token went from ${milliseconds(first.ttft_ms.p50)} to ${milliseconds(last.ttft_ms.p50)}.`);
  }
  const failed = totalOf([target], 'failed');
  const requests = totalOf([target], 'requests');
  words.push(failed === 0 ? `None of ${plural(requests, 'request')} failed.` : `${count(failed)} of ${plural(requests, 'request')} failed (${percent(ratio(failed, requests))}).`);
  return words.join(' ');
}

/// By a number of each target, the best first: who it is, its number, and the others' in brackets.
function ranking(targets, valueOf, text, ascending) {
  const ranked = targets.map((target) => ({ target, value: valueOf(target) })).filter(({ value }) => isNumber(value))
    .sort((a, b) => (ascending ? a.value - b.value : b.value - a.value));
  const [best, ...others] = ranked;
  return { best: best?.target, value: best && text(best.value), others: others.map(({ target, value }) => `${target.shown} ${text(value)}`).join(', ') };
}

function comparedAnswer(targets, model) {
  const failing = ranking(targets, (target) => ratio(totalOf([target], 'failed'), totalOf([target], 'requests')), percent, true);
  const tokens = ranking(targets, (target) => Math.max(...target.loads.map((load) => load.output_tokens_per_s ?? load.requests_per_s ?? 0)), figure3, false);
  const first = targets[0].loads[0];
  const soonest = ranking(targets, (target) => target.loads.find((load) => loadKey(load) === loadKey(first))?.ttft_ms?.p50, milliseconds, true);
  return [
    soonest.best ? `${soonest.best.shown} gave the first token of ${model} soonest: ${soonest.value} at the median with ${loadName(first)} (${soonest.others}).` : null,
    tokens.best ? `${tokens.best.shown} gave the most output at its best load: ${tokens.value} tokens a second (${tokens.others}).` : null,
    failing.best ? `${failing.best.shown} failed least: ${failing.value} of its requests (${failing.others}).` : null,
  ].filter(Boolean).join(' ');
}

function benchNotes(targets) {
  const notes = [];
  for (const target of targets) {
    const who = targets.length > 1 ? `${target.shown}: ` : '';
    if (target.simulated) notes.push(note('warn', `${who}A simulated relay answered: these are no measurements of a real one.`));
    if (target.limit?.stopped) notes.push(note('warn', `${who}The search for the limit was not finished: ${target.limit.stopped}`));
    if (target.stopped) notes.push(note('warn', `${who}Not all was measured: ${target.stopped}`));
    const held = target.loads.filter((load) => load.held_by_cap >= 0.05);
    if (held.length > 0) {
      notes.push(note('info', `${who}sluice’s own cap of ${count(held[0].rpm)} requests a minute, not the relay, held the starts back for part of the time: ${listed(held.map((load) => `${percent(load.held_by_cap)} at ${loadName(load)}`))}. The relay may serve more.`));
    }
    for (const load of target.loads) {
      const where = `${who}${targets.length > 1 || target.loads.length > 1 ? `At ${loadName(load)}: ` : ''}`;
      if (load.stopped) notes.push(note('warn', `${where}${load.stopped}`));
      if (load.client_busy >= 0.7) notes.push(note('warn', `${where}sluice itself was busy for ${percent(load.client_busy)} of the time: its own work is part of these times.`));
    }
  }
  return notes;
}

function benchTiles(target) {
  const best = bestLoad(target);
  const at = `at ${loadName(best)}`;
  const spread = (stats) => (stats ? `p90 ${milliseconds(stats.p90)}, p99 ${milliseconds(stats.p99)}` : null);
  const failed = totalOf([target], 'failed');
  const timed = ({ key, short }) => (best[key] ? { label: `${short}, median, ${at}`, value: figure3(best[key].p50), unit: 'ms', under: spread(best[key]), data: best[key].p50 } : null);
  return tiles([
    { label: `Throughput, ${at}`, value: figure3(best.requests_per_s), unit: 'requests/s', data: best.requests_per_s, under: best.rpm > 0 ? `cap ${count(best.rpm)} a minute` : 'no cap' },
    isNumber(best.output_tokens_per_s) ? { label: `Output, ${at}`, value: figure3(best.output_tokens_per_s), unit: 'tokens/s', data: best.output_tokens_per_s,
      under: best.output_tokens_per_s_each ? `${figure3(best.output_tokens_per_s_each.p50)} tokens/s in a single reply` : null } : null,
    ...measures.map(timed),
    { label: 'Failed, of all', value: percent(ratio(failed, totalOf([target], 'requests'))), data: failed, under: `${count(failed)} of ${plural(totalOf([target], 'requests'), 'request')}` },
    { label: 'Cost, of all', value: dollars(costOf(target)), data: costOf(target), under: `${count(sum(target.loads.map((load) => load.tokens?.completion)))} output tokens` },
  ], 'bench');
}

// ---------------------------------------------------------------- tables

const loadColumns = [
  { title: 'Load', words: true }, { title: 'Requests' }, { title: 'Failed' }, { title: 'Throttled' },
  { title: 'requests/s', group: 'Throughput' }, { title: 'tokens/s', group: 'Throughput' },
  ...measures.flatMap(({ short }) => ['p50', 'p90', 'p99'].map((title) => ({ title, group: short, groupUnit: '(ms)' }))),
  { title: 'Cost', unit: '(USD)' },
];

function loadRow(load) {
  return [cell(loadName(load)), cells.count(load.requests), cells.count(load.failed), cells.count(load.throttled), cells.figure(load.requests_per_s), cells.figure(load.output_tokens_per_s),
    ...measures.flatMap(({ key }) => ['p50', 'p90', 'p99'].map((share) => cells.ms(load[key]?.[share]))), cells.dollars(load.cost_usd)];
}

function loadsTable(targets) {
  const rows = targets.flatMap((target) => [...(targets.length > 1 ? [{ group: [swatch(target.colour), ' ', target.shown] }] : []), ...target.loads.map(loadRow)]);
  return table({ caption: targets.length > 1 ? 'Each target under each load' : 'Each load', columns: loadColumns, rows, name: 'loads' });
}

const compared = [
  { title: 'Throughput (requests/s)', of: (load) => load.requests_per_s, best: Math.max },
  { title: 'Output (tokens/s)', of: (load) => load.output_tokens_per_s, best: Math.max },
  { title: 'TTFT, median (ms)', of: (load) => load.ttft_ms?.p50, best: Math.min },
  { title: 'TTFT, p99 (ms)', of: (load) => load.ttft_ms?.p99, best: Math.min },
  { title: 'ITL, median (ms)', of: (load) => load.inter_token_ms?.p50, best: Math.min },
  { title: 'Latency, median (ms)', of: (load) => load.latency_ms?.p50, best: Math.min },
  { title: 'Latency, p99 (ms)', of: (load) => load.latency_ms?.p99, best: Math.min },
  { title: 'Failed', of: failedShare, text: percent, best: Math.min },
  { title: 'Cost (USD)', of: (load) => (typeof load.cost_usd === 'string' ? Number(load.cost_usd) : null), exact: (load) => load.cost_usd },
];

function comparedCells(measure, loads) {
  const values = loads.map((load) => (load ? measure.of(load) : null));
  const known = values.filter(isNumber);
  const best = measure.best && new Set(known).size > 1 ? measure.best(...known) : null;
  return values.map((value, at) => {
    const text = measure.exact ? dollars(loads[at]?.cost_usd) : (measure.text ?? figure3)(value);
    const shown = best !== null && value === best ? element('strong', {}, text, element('span', { class: 'hidden' }, ' (best)')) : text;
    return cell(shown, measure.exact ? loads[at]?.cost_usd : value);
  });
}

/// The targets side by side, a table for each load; the best of a row is marked.
function comparisonTables(targets) {
  const columns = [{ title: 'Measure', words: true }, ...targets.map((target) => ({ title: target.shown, colour: target.colour }))];
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  return element('div', { class: 'side-by-side' }, keys.map((key, number) => {
    const loads = targets.map((target) => target.loads.find((load) => loadKey(load) === key));
    const rows = compared.filter((measure) => loads.some((load) => load && isNumber(measure.of(load)))).map((measure) => [cell(measure.title), ...comparedCells(measure, loads)]);
    return table({ caption: `At ${loadName(loads.find(Boolean))}; the best of each row is bold`, name: `comparison-${number}`, columns, rows });
  }));
}

function methodTable(targets) {
  const rows = targets.flatMap((target) => target.loads.map((load) => [
    cell(targets.length > 1 ? `${target.shown}, ${loadName(load)}` : loadName(load), undefined, { colour: targets.length > 1 ? target.colour : null }), cells.text(moment(load.started_at)), cells.figure(load.duration_s), cells.count(load.warmup), cells.count(load.rpm || null),
    cells.count(load.most_in_60s), cells.figure(load.asked_per_s), cells.figure(load.started_per_s), cells.percent(load.held_by_cap), cells.ms(load.connect_ms?.p50), cells.ms(load.ttfb_ms?.p50),
    cells.ms(load.inter_chunk_ms?.p50), cells.ms(load.latency_from_intended_ms?.p99), cells.figure(load.client_cpu_us_per_request), cells.percent(load.client_busy)]));
  const columns = [{ title: 'Load', words: true }, { title: 'Began', words: true }, { title: 'Took', unit: '(s)' }, { title: 'Warm-up requests' }, { title: 'Cap', unit: '(a minute)' }, { title: 'Most in 60 s' },
    { title: 'Starts asked for', unit: '(1/s)' }, { title: 'Starts', unit: '(1/s)' }, { title: 'Held by the cap' }, { title: 'Connect, median', unit: '(ms)' }, { title: 'First byte, median', unit: '(ms)' },
    { title: 'Between chunks, median', unit: '(ms)' }, { title: 'Latency from the intended start, p99', unit: '(ms)' }, { title: 'sluice’s CPU', unit: '(µs a request)' }, { title: 'sluice busy' }];
  const filled = columns.map((column, at) => at === 0 || rows.some((row) => row[at].text !== none));
  return table({ caption: 'How each load was measured', name: 'method', columns: columns.filter((_, at) => filled[at]), rows: rows.map((row) => row.filter((_, at) => filled[at])) });
}

function inputWords(target) {
  const input = target.input ?? {};
  const what = input.kind === 'synthetic' ? `prompts made up of ${count(input.prompt_tokens)} tokens, replies of at most ${count(input.max_tokens)}`
    : input.kind === 'jobs' ? `the requests of ${listed(input.jobs ?? [])}` : 'requests';
  return `${what}, ${target.streamed ? 'streamed' : 'not streamed'}`;
}

const limitKinds = { sliding: 'so many in any 60 s', bucket: 'a bucket that is refilled', fixed: 'so many in each minute of the clock', leaky: 'evenly spaced starts',
  none_found: 'none up to what was tried', unclear: 'no kind of limit fits what was seen' };

/// What --find-limit found of one target, as a sentence.
function limitAnswer({ shown, limit }) {
  const asked = `${plural(limit.requests, 'short request')}, ${count(limit.refused)} refused`;
  if (limit.kind === 'none_found') return `No limit of ${shown} was found up to ${count(limit.ceiling)} starts in 60 s (${asked}).`;
  const between = isNumber(limit.at_least) && isNumber(limit.at_most) ? `, between ${figure3(limit.at_least)} and ${figure3(limit.at_most)}` : '';
  const rate = isNumber(limit.rpm) ? `${figure3(limit.rpm)} requests a minute${between}` : 'a limit that could not be told exactly';
  return `${shown} serves ${rate} (${limit.kind}: ${limitKinds[limit.kind] ?? ''}; ${asked}).`;
}

function limitTable(targets) {
  const found = targets.filter((target) => target.limit);
  if (found.length === 0) return null;
  const columns = [{ title: 'Target', words: true }, { title: 'Kind', words: true }, { title: 'Limit', unit: '(a minute)' }, { title: 'Burst' }, { title: 'At least' }, { title: 'At most' },
    { title: 'Tried up to', unit: '(in 60 s)' }, { title: 'Asked' }, { title: 'Refused' }, { title: 'Cost', unit: '(USD)' }, { title: 'Evidence', words: true }];
  const rows = found.map(({ shown, colour: shade, limit }) => [cell(shown, undefined, { colour: found.length > 1 ? shade : null }), cell(`${limit.kind}: ${limitKinds[limit.kind] ?? ''}`), cells.figure(limit.rpm), cells.count(limit.burst),
    cells.figure(limit.at_least), cells.figure(limit.at_most), cells.count(limit.ceiling), cells.count(limit.requests), cells.count(limit.refused), cells.dollars(limit.cost_usd), cells.text(limit.evidence)]);
  return table({ caption: 'The limit that the relay was found to keep', name: 'limit', columns, rows });
}

// ---------------------------------------------------------------- figures

/// A measure by load: of one target its quantiles, of several the median and p99 of each.
function byLoadFigure(targets, { key, title }) {
  const [only] = targets;
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  const at = (target, key_) => target.loads.find((load) => loadKey(load) === key_);
  const places = keys.map((key_) => loadShort(targets.map((target) => at(target, key_)).find(Boolean)));
  const values = (target, share) => keys.map((key_) => at(target, key_)?.[key]?.[share]);
  const series = targets.length === 1
    ? ['p50', 'p90', 'p99'].map((share, number) => ({ label: share, colour: colourOf(number), dash: dashOf(number), values: values(only, share) }))
    : targets.flatMap((target) => [{ label: `${target.shown}, median`, colour: target.colour, values: values(target, 'p50') }, { label: `${target.shown}, p99`, colour: target.colour, dash: [3, 4], values: values(target, 'p99') }]);
  const gist = listed(targets.map((target) => `${targets.length > 1 ? `${target.shown}: ` : ''}median ${values(target, 'p50').map(milliseconds).join(', ')}`));
  return placesFigure({ id: `load-${key}`, title: `${title} by load`, gist: `${gist}.`, places, series, label: loadAxis(targets.flatMap((target) => target.loads)), unit: 'ms' });
}

const courses = [
  { key: 'requests_per_s', title: 'Throughput', unit: 'requests/s', of: (load) => load.requests_per_s },
  { key: 'output_tokens_per_s', title: 'Output', unit: 'tokens/s', of: (load) => load.output_tokens_per_s },
  { key: 'failed', title: 'Failed requests', unit: '% of requests', of: (load) => (failedShare(load) === null ? null : failedShare(load) * 100) },
];

function courseFigure(targets, { key, title, unit, of }) {
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  const places = keys.map((key_) => loadShort(targets.flatMap((target) => target.loads).find((load) => loadKey(load) === key_)));
  const series = targets.map((target) => ({ label: targets.length > 1 ? target.shown : unit, colour: target.colour, dash: target.dash, values: keys.map((key_) => {
    const load = target.loads.find((each) => loadKey(each) === key_);
    return load ? of(load) : null;
  }) }));
  const gist = listed(series.map((one) => `${targets.length > 1 ? `${one.label}: ` : ''}${one.values.map(figure3).join(', ')} ${unit}`));
  return placesFigure({ id: `load-${key}`, title: `${title} by load`, gist: `${gist}.`, places, series, label: loadAxis(targets.flatMap((target) => target.loads)), unit });
}

/// Under a single load there is no course to draw: the targets stand beside each other.
function byTargetFigure(targets, { key, title }) {
  const series = ['p50', 'p90', 'p99'].map((share, number) => ({ label: share, colour: colourOf(number), values: targets.map((target) => target.loads[0]?.[key]?.[share]) }));
  const gist = listed(targets.map((target) => `${target.shown}: median ${milliseconds(target.loads[0]?.[key]?.p50)}`));
  return placesFigure({ id: `load-${key}`, title: `${title} by target`, gist: `${gist}.`, places: targets.map((target) => target.shown), series, label: 'target', unit: 'ms', joined: false });
}

function loadFigures(targets) {
  const most = Math.max(...targets.map((target) => target.loads.length));
  if (most > 1) {
    return figures(measures.map((measure) => byLoadFigure(targets, measure)),
      courses.map((course) => courseFigure(targets, course)));
  }
  if (targets.length > 1) return figures(measures.map((measure) => byTargetFigure(targets, measure)));
  return paragraph('One load was measured. Several (--concurrency 1,4,16) show how the times grow with the load.');
}

/// Of one target a line for each load; of several a pair of figures for each load, with a line for each target.
function spreadFigures(targets, { key, title }) {
  if (targets.length === 1) {
    const sets = targets[0].loads.map((load, at) => ({ label: loadName(load), colour: colourOf(at), dash: dashOf(at), histogram: load.histograms?.[key] }));
    return distributionFigures(key, title, 'ms', sets);
  }
  const keys = [...new Set(targets.flatMap((target) => target.loads.map(loadKey)))];
  return keys.flatMap((wanted, number) => {
    const pairs = targets.map((target) => ({ target, load: target.loads.find((load) => loadKey(load) === wanted) })).filter(({ load }) => load);
    const sets = pairs.map(({ target, load }) => ({ label: target.shown, colour: target.colour, dash: target.dash, histogram: load.histograms?.[key] }));
    return distributionFigures(`${key}-${number}`, keys.length > 1 ? `${title} at ${loadName(pairs[0].load)}` : title, 'ms', sets) ?? [];
  });
}

function benchTimes(targets) {
  return targets.flatMap((target, at) => {
    const timelines = target.loads.filter((load) => load.timeline).map((load) => ({ started_at: load.started_at, timeline: load.timeline, rpm: load.rpm, long: loadName(load), short: loadShort(load) }));
    if (timelines.length === 0) return [];
    const several = targets.length > 1;
    return [several ? element('h3', {}, swatch(target.colour), ' ', target.shown) : null, timeFigures(`time-${at}`, several ? ` at ${target.shown}` : '', timelines, Math.max(...target.loads.map((load) => load.most_in_60s ?? 0)))];
  });
}

// ---------------------------------------------------------------- the page

const limitWords = [
  ['limit', 'How many requests a minute the relay serves in the long run; at least, at most: what the answers leave open.'],
  ['burst', 'How many it serves at once after a pause.'],
  ['kind', 'sliding: so many in any 60 s; fixed: so many in each minute of the relay’s clock; bucket: a store that is refilled steadily; leaky: starts evenly spaced.'],
];

const benchWords = [
  ['load', 'How many requests are kept in flight (the next starts when one ends), or how many starts are asked for a minute, whether replies have come or not.'],
  ['throughput', 'Requests that succeeded, by the time from the first send to the last byte of the load.'],
  ['throttled', 'Of the failed: refused with the status 429, too many requests.'],
  ['TTFT', 'Time to first token: from sending the request to the first piece of content, reasoning, refusal or tool call that is not empty.'],
  ['ITL', 'Inter-token latency: of each reply, the time from its first to its last piece, by its output tokens less one.'],
  ['latency', 'From sending the request to the last byte of its reply. Nothing is tried again: each failure counts.'],
  ['latency from the intended start', 'The same from the moment that the asked-for rate set, so that a queue before the relay is not left out.'],
  ['held by the cap', 'The share of the time in which a start was due, and sluice’s own cap made it wait.'],
  ['sluice busy', 'The share of the time in which the measuring program itself ran or waited for a processor.'],
];

function benchFailures(targets, name) {
  return targets.flatMap((target) => target.loads.flatMap((load) => (load[name] ?? []).map((one) => ({
    ...one, where: [targets.length > 1 ? target.shown : null, targets.length > 1 || target.loads.length > 1 ? loadName(load) : null].filter(Boolean).join(', ') || undefined,
    colour: targets.length > 1 ? target.colour : null }))));
}

function benchErrors(targets) {
  return targets.flatMap((target) => target.loads.map((load) => ({ name: `${targets.length > 1 ? `${target.shown}, ` : ''}${loadName(load)}`, colour: targets.length > 1 ? target.colour : null, requests: load.requests, errors: load.errors })));
}

function benchPage(document) {
  const all = targetsOf(document);
  const targets = all.filter((target) => target.loads.length > 0);
  const [first = all[0] ?? {}] = targets;
  const model = document.model ?? first.model;
  if (all.length === 0) return { head: { kind: 'Benchmark', title: model ?? 'no target', facts: [] }, sections: [section('summary', 'Summary', note('warn', 'No target was measured.'))] };
  const head = {
    kind: 'Benchmark',
    title: all.length > 1 ? `${model} at ${listed(all.map((target) => target.shown))}` : `${model} at ${first.shown}`,
    facts: [moment(first.started_at), `sluice ${first.sluice_version ?? ''}`, inputWords(first), ...all.map((target) => (target.name ? `${target.name}: ${target.target}` : target.target))],
  };
  const limits = all.filter((target) => target.limit).map((target) => element('p', { class: 'answer' }, limitAnswer(target)));
  const unmeasured = all.filter((target) => target.loads.length === 0 && !target.limit).map((target) => note('warn', `${target.shown}: nothing was measured. ${target.stopped ?? ''}`));
  if (targets.length === 0) {
    return { head, sections: [section('summary', 'Summary', limits, unmeasured, benchNotes(all.filter((target) => target.limit))), section('limit', 'The relay’s limit', limitTable(all)), limits.length > 0 ? glossary(limitWords) : null] };
  }
  const several = targets.length > 1;
  const slowest = benchFailures(targets, 'slowest').sort((a, b) => b.latency_ms - a.latency_ms).slice(0, 10);
  return { head, sections: [
    section('summary', 'Summary', element('p', { class: 'answer' }, several ? comparedAnswer(targets, model) : oneAnswer(first)), limits, several ? comparisonTables(targets) : benchTiles(first), unmeasured, benchNotes(targets)),
    section('loads', 'Results by load', loadsTable(targets)),
    section('limit', 'The relay’s limit', limitTable(all)),
    section('by-load', 'TTFT, ITL and throughput by load', loadFigures(targets)),
    section('time', 'Throughput and errors over time', benchTimes(targets)),
    ...measures.map(({ key, title, short }) => {
      const drawn = spreadFigures(targets, { key, title });
      return drawn?.length > 0 ? section(`spread-${key}`, `${short} distribution`, figures(drawn)) : null;
    }),
    section('cost', 'Cost by model', costTable(targets.map((target) => ({ where: target.shown, colour: several ? target.colour : null, model: target.model, requests: totalOf([target], 'succeeded'),
      prompt: sum(target.loads.map((load) => load.tokens?.prompt)), completion: sum(target.loads.map((load) => load.tokens?.completion)), cost: costOf(target) })), 'What all loads cost together', 'Target')),
    section('errors', 'Errors', errorsTable(benchErrors(targets)) ?? paragraph('No request failed.')),
    section('failures', 'Failed requests', failuresTable(benchFailures(targets, 'failures'), totalOf(targets, 'failed'))),
    section('slowest', 'Slowest requests', slowestTable(slowest)),
    section('method', 'How it was measured', methodTable(targets)),
    glossary([...benchWords, ...(limits.length > 0 ? limitWords : []), ...commonWords]),
  ] };
}
