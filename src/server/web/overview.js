// All batches of a key, and the activity of the server.
import { baseUrl, keyNeeded, server } from './client.js';
import { element, keyed, progressBar, section, setAttribute, setText, setVars, show, table, tiles } from './dom.js';
import { Paces, count, dollars, duration, hasEnded, moment, nameOf, none, stateName, waitText } from './format.js';
import { plot } from './plot.js';
import { t } from './words.js';

const pageSize = 20;

/// The settings with which a program can use this server. The address is the one that the browser uses.
const howToStart = () =>
  `export OPENAI_BASE_URL=${baseUrl()} OPENAI_API_KEY=${keyNeeded() ? t('your_key') : 'any'}`;

export const endOf = (batch) => batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at;

/// A label for a state. Its colour adds no information to its word.
export function stateMark() {
  const node = element('span', { class: 'state' });
  return {
    node,
    fill(batch) {
      setText(node, stateName(batch.status));
      setAttribute(node, 'class', `state ${batch.status}`);
    },
  };
}

function batchRow(batch, paces) {
  const name = element('a', { href: `#/batches/${batch.id}` });
  const about = element('span', { class: 'about' });
  const mark = stateMark();
  const waits = element('span', { class: 'about' });
  const bar = progressBar('');
  const done = element('span', { class: 'about' });
  const failed = element('span');
  const cost = element('span', { class: 'exact' });
  const left = element('span');
  return {
    nodes: [[name, about], [mark.node, waits], [bar.node, done], [failed], [cost], [left]],
    fill(now) {
      const { total, completed, failed: bad } = now.request_counts;
      const time = paces.words(now);
      setText(name, nameOf(now));
      setText(about, [now.model, now.endpoint].filter(Boolean).join(' · '));
      mark.fill(now);
      setText(waits, now.sluice?.waits ? t('waits') : '');
      setAttribute(waits, 'title', now.sluice?.waits);
      setAttribute(bar.node, 'aria-label', t('progress_of', { name: nameOf(now) }));
      bar.fill(
        completed,
        bad,
        total,
        t('progress_words', { done: count(completed), total: count(total), failed: count(bad) }),
      );
      setText(
        done,
        now.status === 'validating' || total === 0
          ? none
          : t('counts', { done: count(completed + bad), total: count(total) }),
      );
      setText(failed, count(bad));
      setAttribute(failed, 'class', bad > 0 ? 'bad' : null);
      setText(cost, dollars(now.sluice?.cost_usd));
      setText(
        left,
        hasEnded(now)
          ? t('ended_at', { time: moment(endOf(now)) })
          : time || t('created_at', { time: moment(now.created_at) }),
      );
    },
  };
}

/// The list of batches, one page at a time. It keeps the ids before each earlier page to go back.
function batchList(refreshNow) {
  const paces = new Paces();
  const before = [];
  let after = '';
  let current = [];
  const rows = table({
    caption: t('batches'),
    className: 'cards batches',
    columns: [
      { title: t('batch'), words: true, kind: 'name' },
      { title: t('state'), words: true },
      { title: t('progress'), words: true, kind: 'wide' },
      { title: t('failed') },
      { title: t('cost') },
      { title: t('time'), words: true },
    ],
    idOf: (batch) => batch.id,
    cells: (batch) => batchRow(batch, paces),
  });
  const button = (id, words, act) =>
    element(
      'button',
      {
        type: 'button',
        id,
        onclick: () => {
          act();
          refreshNow();
        },
      },
      words,
    );
  const newest = button('newest', t('newest'), () => {
    before.length = 0;
    after = '';
  });
  const newer = button('newer', t('newer'), () => {
    after = before.pop() ?? '';
  });
  const older = button('older', t('older'), () => {
    before.push(after);
    after = current.at(-1)?.id ?? '';
  });
  const number = element('span', { 'aria-live': 'polite' });
  const pager = element('nav', { class: 'pager', 'aria-label': t('batch_pages') }, newest, newer, number, older);
  const empty = element(
    'div',
    { class: 'empty', hidden: true },
    element('p', {}, t('no_batches'), ' ', element('a', { href: '#/new' }, t('first_batch'))),
    element('p', {}, t('from_programs')),
    element('pre', { id: 'how-to-start' }, howToStart()),
  );
  return {
    node: element('div', {}, empty, rows.node, pager),
    load: () => server.batches(pageSize, after),
    page: () => after,
    fill({ data, has_more }) {
      current = data;
      show(empty, data.length === 0 && before.length === 0);
      show(rows.node, data.length > 0);
      rows.update(data);
      show(pager, has_more || before.length > 0);
      newest.disabled = newer.disabled = before.length === 0;
      older.disabled = !has_more;
      setText(number, t('page_number', { n: before.length + 1 }));
    },
  };
}

function relayWords(relay) {
  const left = duration(relay.seconds ?? 0);
  const words = t(`relay_${relay.state}`, { left, n: count(relay.served_per_minute) }, relay.state);
  return relay.reason ? `${words} (${relay.reason})` : words;
}

function relayTable() {
  const rows = table({
    caption: t('relays'),
    columns: [
      { title: t('relay'), words: true, kind: 'name' },
      { title: t('relay_state'), words: true },
      { title: t('in_flight') },
      { title: t('relay_limit') },
    ],
    idOf: (relay) => relay.name ?? '',
    cells: (relay) => {
      const [state, flight, limit] = [element('span'), element('span'), element('span')];
      return {
        nodes: [relay.name ?? t('the_relay'), state, flight, limit],
        fill(now) {
          setText(state, relayWords(now));
          setAttribute(state, 'class', `state ${now.state === 'ok' ? 'completed' : 'expired'}`);
          setText(flight, count(now.in_flight));
          setText(limit, now.requests_per_minute === null ? none : count(now.requests_per_minute));
        },
      };
    },
  });
  return rows;
}

function modelTable() {
  return table({
    caption: t('models'),
    columns: [
      { title: t('model'), words: true, kind: 'name' },
      { title: t('requests') },
      { title: t('of_them_calls') },
      { title: t('tokens_in') },
      { title: t('tokens_out') },
      { title: t('cost') },
    ],
    idOf: (one) => one.model ?? '',
    cells: (one) => {
      const nodes = ['', '', '', '', ''].map(() => element('span'));
      nodes[4].className = 'exact';
      return {
        nodes: [one.model ?? t('several_models'), ...nodes],
        fill(now) {
          [
            count(now.requests),
            count(now.calls),
            count(now.input_tokens),
            count(now.output_tokens),
            dollars(now.cost_usd),
          ].forEach((text, at) => setText(nodes[at], text));
        },
      };
    },
  });
}

function errorTable() {
  return table({
    caption: t('errors'),
    columns: [{ title: t('error'), words: true, kind: 'name' }, { title: t('requests') }],
    idOf: ([code]) => code,
    cells: ([code]) => {
      const number = element('span');
      return {
        nodes: [code === '' ? t('earlier_errors') : element('span', { class: 'code' }, code), number],
        fill: ([, now]) => setText(number, count(now)),
      };
    },
  });
}

/// A gauge under the requests of the last minute: the used part of the cap.
function gauge() {
  const node = element('div', { class: 'gauge', 'aria-hidden': 'true' }, element('span'));
  return {
    node,
    fill(part, whole) {
      show(node, whole > 0);
      if (whole > 0) setVars(node, { '--part': `${Math.min(100, (100 * part) / whole)}%` });
    },
  };
}

export function overviewView() {
  const figures = tiles([
    { id: 'minute', label: t('last_minute') },
    { id: 'flight', label: t('in_flight') },
    { id: 'requests', label: t('requests_done') },
    { id: 'calls', label: t('calls') },
    { id: 'tokens', label: t('tokens') },
    { id: 'cost', label: t('cost') },
    { id: 'batches', label: t('batches') },
  ]);
  const cap = gauge();
  figures.append('minute', cap.node);
  const notes = element('div');
  const list = batchList(() => view.refresh(() => true).catch((fault) => view.report(fault)));
  const since = element('p', { class: 'about' });
  const results = plot({
    id: 'results',
    title: t('results_plot'),
    about: t('results_about'),
    series: [
      { name: 'completed', label: t('completed'), colour: 'series-good' },
      { name: 'failed', label: t('failed'), colour: 'series-bad' },
    ],
  });
  const tokens = plot({
    id: 'tokens',
    title: t('tokens_plot'),
    about: t('tokens_about'),
    series: [{ name: 'tokens', label: t('tokens'), colour: 'series-tokens' }],
  });
  const relays = relayTable();
  const models = modelTable();
  const errors = errorTable();
  const noModels = element('p', { class: 'empty' }, t('no_models'));
  const noErrors = element('p', { class: 'empty' }, t('no_errors'));
  const fillNotes = keyed(
    notes,
    (words) => words.id,
    () => {
      const node = element('p');
      return {
        node,
        fill({ text, cause }) {
          setText(node, text);
          // Waiting for a limit is normal, so it is not shown as a warning.
          const usual = ['limit', 'pacing', 'concurrency', 'unknown'].includes(cause);
          setAttribute(node, 'class', `note ${usual ? 'info' : 'warn'}`);
        },
      };
    },
  );

  // Starts of other processes use up the cap, too. `most_in_a_minute` does not include them.
  function fillMinute({ requests_per_minute: most, started_last_minute, started_by_others, most_in_a_minute }) {
    const started = started_last_minute + started_by_others;
    const under = () => {
      if (started_by_others > 0) return t('cap_others', { n: count(started_by_others) });
      return most === null ? t('no_cap') : t('cap_under', { most: count(most_in_a_minute) });
    };
    figures.fill(
      'minute',
      most === null ? count(started) : t('of_cap', { n: count(started), cap: count(most) }),
      under(),
    );
    cap.fill(started, most ?? 0);
  }

  function fill(status) {
    fillMinute(status.limit);
    figures.fill(
      'flight',
      count(status.in_flight),
      status.key
        ? t('in_flight_own', { n: count(status.own_in_flight) })
        : t('in_flight_waiting', { n: count(status.own_waiting) }),
    );
    const { total, completed, failed } = status.requests;
    figures.fill('requests', count(completed + failed), t('of_total', { total: count(total), failed: count(failed) }));
    const { calls } = status;
    figures.fill(
      'calls',
      count(calls.started),
      t('calls_under', { minute: count(calls.started_last_minute), failed: count(calls.failed) }),
    );
    figures.fill(
      'tokens',
      count(status.tokens.total),
      t('tokens_under', { input: count(status.tokens.input), output: count(status.tokens.output) }),
    );
    figures.fill(
      'cost',
      dollars(status.cost_usd),
      status.unpriced_requests > 0
        ? t('cost_unpriced', { n: count(status.unpriced_requests) })
        : status.key?.budget_usd
          ? t('budget_left', { budget: dollars(status.key.budget_usd) })
          : calls.started > 0
            ? t('cost_calls', { cost: dollars(calls.cost_usd) })
            : t('cost_exact'),
    );
    figures.fill('batches', count(status.batches.count), t('batches_open', { open: count(status.batches.open) }));
    fillNotes(status.waits ? [{ id: 'waits', cause: status.waits.cause, text: waitText(status.waits) }] : []);
    const { recent, now } = status;
    show(since, recent.begins_at > now - 3600);
    setText(since, t('since_start', { time: moment(status.started_at, now) }));
    const values = { completed: recent.completed, failed: recent.failed, tokens: recent.tokens };
    results.update({ ...recent, now, values });
    tokens.update({ ...recent, now, values });
    relays.update(status.relays);
    models.update(status.models);
    show(models.node, status.models.length > 0);
    show(noModels, status.models.length === 0);
    const classes = Object.entries(status.errors.by_code).sort(([, one], [, other]) => other - one);
    if (status.errors.earlier > 0) classes.push(['', status.errors.earlier]);
    errors.update(classes);
    show(errors.node, classes.length > 0);
    show(noErrors, classes.length === 0);
  }

  const view = {
    title: t('overview'),
    node: element(
      'div',
      { class: 'overview', hidden: true },
      element('h1', { class: 'hidden' }, t('overview')),
      figures.node,
      notes,
      section('batches', t('batches'), list.node),
      section('hour', t('last_hour'), since, element('div', { class: 'figures' }, results.node, tokens.node)),
      element(
        'div',
        { class: 'side-by-side' },
        section('models', t('models'), noModels, models.node),
        section('errors', t('errors'), noErrors, errors.node),
      ),
      section('relays', t('relays'), relays.node),
    ),
    async refresh(isCurrent) {
      const page = list.page();
      const [status, batches] = await Promise.all([server.status(), list.load()]);
      if (!isCurrent()) return null;
      show(view.node, true);
      if (page === list.page()) list.fill(batches);
      fill(status);
      return status;
    },
  };
  return view;
}
