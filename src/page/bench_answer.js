// The results of a benchmark, in sentences and key figures.

function oneAnswer(target) {
  const best = bestLoad(target);
  const words = [
    `At ${loadName(best)}, ${target.model} at ${target.shown} answered ${figure3(best.requests_per_s)} requests a second` +
      `${isNumber(best.output_tokens_per_s) ? ` with ${figure3(best.output_tokens_per_s)} output tokens a second` : ''}.`,
  ];
  if (best.ttft_ms)
    words.push(
      `Half of the first tokens came within ${milliseconds(best.ttft_ms.p50)}, 99 % within ${milliseconds(best.ttft_ms.p99)}.`,
    );
  else if (best.latency_ms)
    words.push(
      `Half of the replies came within ${milliseconds(best.latency_ms.p50)}, 99 % within ${milliseconds(best.latency_ms.p99)}.`,
    );
  const [first, last] = [target.loads[0], target.loads.at(-1)];
  if (target.loads.length > 1 && first.ttft_ms && last.ttft_ms) {
    words.push(
      `From ${isNumber(first.concurrency) && isNumber(last.concurrency) ? loadShort(first) : loadName(first)} to ${loadName(last)}, the median time to first token went from ${milliseconds(first.ttft_ms.p50)} to ${milliseconds(last.ttft_ms.p50)}.`,
    );
  }
  const failed = totalOf([target], 'failed');
  const requests = totalOf([target], 'requests');
  words.push(
    failed === 0
      ? `None of ${plural(requests, 'request')} failed.`
      : `${count(failed)} of ${plural(requests, 'request')} failed (${percent(ratio(failed, requests))}).`,
  );
  return words.join(' ');
}

/// Ranks the targets by a number. Returns the best target, its number, and the other targets with theirs in brackets.
function ranking(targets, valueOf, text, ascending) {
  const ranked = targets
    .map((target) => ({ target, value: valueOf(target) }))
    .filter(({ value }) => isNumber(value))
    .sort((a, b) => (ascending ? a.value - b.value : b.value - a.value));
  const [best, ...others] = ranked;
  return {
    best: best?.target,
    value: best && text(best.value),
    others:
      others.length > 0 ? ` (${others.map(({ target, value }) => `${target.shown} ${text(value)}`).join(', ')})` : '',
  };
}

/// A sentence that names the fastest target, and says whether that is certain.
function rankingAnswer(ranking) {
  const sentence = ranking?.sentence;
  if (typeof sentence !== 'string' || sentence === '') return null;
  return element('p', { class: 'answer ranking' }, `${sentence[0].toUpperCase()}${sentence.slice(1)}.`);
}

function comparedAnswer(targets, model) {
  const failing = ranking(
    targets,
    (target) => ratio(totalOf([target], 'failed'), totalOf([target], 'requests')),
    percent,
    true,
  );
  const tokens = ranking(
    targets,
    (target) => Math.max(...target.loads.map((load) => load.output_tokens_per_s ?? load.requests_per_s ?? 0)),
    figure3,
    false,
  );
  const first = targets[0].loads[0];
  const soonest = ranking(
    targets,
    (target) => target.loads.find((load) => loadKey(load) === loadKey(first))?.ttft_ms?.p50,
    milliseconds,
    true,
  );
  return [
    soonest.best
      ? `${soonest.best.shown} gave the first token of ${model} soonest: ${soonest.value} at the median with ${loadName(first)}${soonest.others}.`
      : null,
    tokens.best
      ? `${tokens.best.shown} gave the most output at its best load: ${tokens.value} tokens a second${tokens.others}.`
      : null,
    failing.best ? `${failing.best.shown} failed least: ${failing.value} of its requests${failing.others}.` : null,
  ]
    .filter(Boolean)
    .join(' ');
}

function benchNotes(targets) {
  const notes = [];
  for (const target of targets) {
    const who = targets.length > 1 ? `${target.shown}: ` : '';
    if (target.simulated)
      notes.push(note('warn', `${who}A simulated relay answered: these are no measurements of a real one.`));
    if (target.limit?.stopped)
      notes.push(note('warn', `${who}The search for the limit was not finished: ${target.limit.stopped}`));
    if (target.stopped) notes.push(note('warn', `${who}Not all was measured: ${target.stopped}`));
    const held = target.loads.filter((load) => load.held_by_cap >= 0.05);
    if (held.length > 0) {
      notes.push(
        note(
          'info',
          `${who}sluice’s own cap of ${count(held[0].rpm)} requests a minute, not the relay, held the starts back for part of the time: ${listed(held.map((load) => `${percent(load.held_by_cap)} at ${loadName(load)}`))}. The relay may serve more.`,
        ),
      );
    }
    const unpaid = target.loads.filter((load) => load.held_by_budget >= 0.05);
    if (unpaid.length > 0) {
      notes.push(
        note(
          'info',
          `${who}The budget, not the relay, held the starts back for part of the time: ${listed(unpaid.map((load) => `${percent(load.held_by_budget)} at ${loadName(load)}`))}. The relay may serve more.`,
        ),
      );
    }
    for (const load of target.loads) {
      const where = `${who}${targets.length > 1 || target.loads.length > 1 ? `At ${loadName(load)}: ` : ''}`;
      if (load.stopped && load.stopped !== target.stopped) notes.push(note('warn', `${where}${load.stopped}`));
      if (load.client_busy >= 0.7)
        notes.push(
          note(
            'warn',
            `${where}sluice itself was busy for ${percent(load.client_busy)} of the time: its own work is part of these times.`,
          ),
        );
    }
  }
  return notes;
}

function benchTiles(target) {
  const best = bestLoad(target);
  const at = `at ${loadName(best)}`;
  const spread = (stats) =>
    stats ? `p90 ${milliseconds(stats.p90)}, p99 ${milliseconds(stats.p99)}${fewWords(stats)}` : null;
  const failed = totalOf([target], 'failed');
  const timed = ({ key, short }) =>
    best[key]
      ? {
          label: `${short}, median, ${at}`,
          value: figure3(best[key].p50),
          unit: 'ms',
          under: spread(best[key]),
          data: best[key].p50,
        }
      : null;
  return tiles(
    [
      {
        label: `Throughput, ${at}`,
        value: figure3(best.requests_per_s),
        unit: 'requests/s',
        data: best.requests_per_s,
        under: best.rpm > 0 ? `cap ${count(best.rpm)} a minute` : 'no cap',
      },
      isNumber(best.output_tokens_per_s)
        ? {
            label: `Output, ${at}`,
            value: figure3(best.output_tokens_per_s),
            unit: 'tokens/s',
            data: best.output_tokens_per_s,
            under: best.output_tokens_per_s_each
              ? `${figure3(best.output_tokens_per_s_each.p50)} tokens/s in a single reply`
              : null,
          }
        : null,
      ...measures.map(timed),
      {
        label: 'Failed, of all',
        value: percent(ratio(failed, totalOf([target], 'requests'))),
        data: failed,
        under: `${count(failed)} of ${plural(totalOf([target], 'requests'), 'request')}`,
      },
      {
        label: 'Cost, of all',
        value: dollars(costOf(target)),
        data: costOf(target),
        under: `${count(sum(target.loads.map((load) => load.tokens?.completion)))} output tokens`,
      },
    ],
    'bench',
  );
}
