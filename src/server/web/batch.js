// The page of one batch: its progress, its failures, and its actions.
import { Refusal, download, server } from './client.js';
import { confirmed, element, progressBar, section, setAttribute, setText, show, table, tiles } from './dom.js';
import { Paces, count, dollars, duration, hasEnded, moment, nameOf, none } from './format.js';
import { endOf, stateMark } from './overview.js';
import { t } from './words.js';

function estimateWords(estimate) {
  const cost = estimate?.cost_usd;
  if (!cost) return t('estimate_none');
  const parts = [
    cost.likely && t('estimate_likely', { likely: dollars(cost.likely) }),
    cost.at_most && t('estimate_at_most', { most: dollars(cost.at_most) }),
    !cost.likely && !cost.at_most && cost.prompt && t('estimate_prompt', { prompt: dollars(cost.prompt) }),
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(', ') : t('estimate_none');
}

function factTable() {
  return table({
    caption: t('facts'),
    className: 'facts-table',
    columns: [
      { title: t('fact'), words: true },
      { title: t('value'), words: true, kind: 'long' },
    ],
    idOf: ({ label }) => label,
    cells: ({ label, href }) => {
      const value = element(href ? 'a' : 'span', { href });
      return { nodes: [label, value], fill: (now) => setText(value, now.value) };
    },
  });
}

function factsOf(batch, now) {
  const at = (label, time) => time && { label: t(label), value: moment(time, now) };
  const text = (label, value, href) => value && { label: t(label), value: String(value), href };
  return [
    text('batch', batch.id),
    text('endpoint', batch.endpoint),
    text('model', batch.model),
    at('created', batch.created_at),
    at('started', batch.in_progress_at),
    at('finalizing', batch.finalizing_at),
    at('ended', endOf(batch)),
    hasEnded(batch) ? null : at('expires', batch.expires_at),
    text('window', batch.completion_window),
    text('priority', batch.sluice?.priority),
    text('retry_of', batch.sluice?.retry_of, `#/batches/${batch.sluice?.retry_of}`),
    text('input_file', batch.input_file_id),
    text('output_file', batch.output_file_id),
    text('error_file', batch.error_file_id),
    ...Object.entries(batch.metadata ?? {}).map(([name, value]) => ({ label: `${t('metadata')}: ${name}`, value })),
  ].filter(Boolean);
}

/// Lines of the error file, some at a time. A running batch adds lines to it.
function failedLines(id, report) {
  let known = [];
  let next = '';
  let reading = false;
  let stop = false; // until the next request of the reader
  const rows = table({
    caption: t('failed_lines'),
    className: 'cards failed-lines',
    columns: [
      { title: t('line') },
      { title: t('custom_id'), words: true, kind: 'id' },
      { title: t('code'), words: true },
      { title: t('message'), words: true, kind: 'message' },
    ],
    idOf: (one) => one.at,
    cells: (one) => ({
      nodes: [
        one.line === null ? none : count(one.line),
        element('span', { class: 'code' }, one.custom_id || none),
        element('span', { class: 'code' }, one.code || none),
        one.message || none,
      ],
      fill: () => {},
    }),
  });
  const empty = element('p', { class: 'empty' }, t('no_failed_lines'));
  const gone = element('p', { class: 'empty', hidden: true }, t('failed_lines_gone'));
  const said = element('p', { class: 'about', role: 'status' });
  const more = element(
    'button',
    { type: 'button', id: 'more-failed', hidden: true, onclick: () => read() },
    t('failed_more'),
  );

  async function read() {
    if (reading) return;
    reading = true;
    try {
      const page = await server.failedLines(id, next);
      known = [...known, ...page.data.map((one, at) => ({ ...one, at: `${next}/${at}` }))];
      next = page.next ?? next;
      rows.update(known);
      show(more, page.has_more);
      stop = page.has_more;
    } catch (fault) {
      if (fault instanceof Refusal && fault.status === 400) {
        // The error file is new: the batch was started again.
        known = [];
        next = '';
        rows.update(known);
        setText(said, t('failed_changed'));
        stop = false;
      } else {
        setText(said, report(fault));
      }
    }
    reading = false;
  }
  return {
    node: element('div', {}, empty, gone, said, rows.node, more),
    /// Reads more lines while some failures are not shown, up to the first full page.
    async fill(batch) {
      const failures = hasEnded(batch) ? (batch.error_file_id ? Infinity : 0) : batch.request_counts.failed;
      show(empty, failures === 0 && known.length === 0);
      show(rows.node, known.length > 0);
      if (!stop && known.length < failures) {
        await read();
        if (hasEnded(batch)) stop = true;
        show(rows.node, known.length > 0);
        show(gone, known.length === 0 && failures === Infinity);
      }
    },
  };
}

function refusedLines() {
  const rows = table({
    caption: t('refused_lines'),
    className: 'cards refused-lines',
    columns: [
      { title: t('line') },
      { title: t('code'), words: true },
      { title: t('message'), words: true, kind: 'message' },
    ],
    idOf: (one) => one.at,
    cells: (one) => ({
      nodes: [
        one.line === null ? none : count(one.line),
        element('span', { class: 'code' }, one.code ?? none),
        one.message,
      ],
      fill: () => {},
    }),
  });
  const node = section('refused', t('refused_lines'), element('p', {}, t('refused_about')), rows.node);
  show(node, false);
  return {
    node,
    fill(batch) {
      const data = batch.errors?.data ?? [];
      show(node, data.length > 0);
      rows.update(data.map((one, at) => ({ ...one, at: String(at) })));
    },
  };
}

export function batchView(id) {
  const title = element('h1');
  const mark = stateMark();
  const waits = element('p', { class: 'note warn', hidden: true });
  const fault = element('p', { class: 'fault', role: 'alert' });
  const bar = progressBar(t('progress'));
  const paces = new Paces();
  const figures = tiles([
    { id: 'done', label: t('requests_done') },
    { id: 'failed', label: t('failed') },
    { id: 'tokens', label: t('tokens') },
    { id: 'cost', label: t('cost') },
    { id: 'elapsed', label: t('elapsed') },
  ]);
  const facts = factTable();
  const refused = refusedLines();
  const failed = failedLines(id, (why) => view.report(why));
  let batch = null;

  const act = (name, words, work, className) =>
    element(
      'button',
      {
        type: 'button',
        id: name,
        class: className,
        hidden: true,
        onclick: async (event) => {
          const button = event.currentTarget;
          button.disabled = true;
          setText(fault, '');
          try {
            await work();
          } catch (why) {
            setText(fault, view.report(why));
          }
          button.disabled = false;
        },
      },
      words,
    );
  const buttons = {
    output: act('save-output', t('save_output'), () => download(batch.output_file_id, `${id}_output.jsonl`)),
    errors: act('save-errors', t('save_errors'), () => download(batch.error_file_id, `${id}_error.jsonl`)),
    retry: act(
      'retry',
      t('retry'),
      async () => {
        location.hash = `#/batches/${(await server.retry(id)).id}`;
      },
      'primary',
    ),
    input: act('save-input', t('save_input'), () => download(batch.input_file_id, `${id}_input.jsonl`)),
    cancel: act(
      'cancel',
      t('cancel'),
      async () => {
        if (await confirmed(t('cancel_question'), t('cancel_yes'), t('keep'))) fill(await server.cancel(id));
      },
      'danger',
    ),
  };

  function fill(fresh) {
    batch = fresh;
    const now = Date.now() / 1000;
    const { total, completed, failed: bad } = batch.request_counts;
    setText(title, nameOf(batch));
    mark.fill(batch);
    show(waits, Boolean(batch.sluice?.waits) && !hasEnded(batch));
    setText(waits, t('batch_waits', { why: batch.sluice?.waits ?? '' }));
    show(bar.node, batch.status !== 'failed');
    bar.fill(
      completed,
      bad,
      total,
      t('progress_words', { done: count(completed), total: count(total), failed: count(bad) }),
    );
    figures.fill(
      'done',
      count(completed + bad),
      t('of_total', { total: count(total || (batch.sluice?.estimate?.requests ?? 0)), failed: count(bad) }),
    );
    figures.fill('failed', count(bad));
    figures.fill(
      'tokens',
      count(batch.usage.total_tokens),
      t('tokens_under', { input: count(batch.usage.input_tokens), output: count(batch.usage.output_tokens) }),
    );
    figures.fill(
      'cost',
      dollars(batch.sluice?.cost_usd),
      t('cost_of_estimate', { likely: estimateWords(batch.sluice?.estimate) }),
    );
    const began = batch.in_progress_at ?? batch.created_at;
    figures.fill('elapsed', duration((endOf(batch) ?? now) - began), paces.words(batch, now));
    facts.update(factsOf(batch, now));
    refused.fill(batch);
    show(buttons.output, Boolean(batch.output_file_id));
    show(buttons.errors, Boolean(batch.error_file_id));
    show(buttons.retry, hasEnded(batch) && Boolean(batch.error_file_id));
    show(buttons.input, true);
    show(buttons.cancel, ['validating', 'in_progress'].includes(batch.status));
    show(failedSection, batch.status !== 'failed');
    show(view.node, true);
    document.title = `${nameOf(batch)} · sluice`;
  }

  const failedSection = section('failed', t('failed_lines'), failed.node);
  const view = {
    title: id,
    node: element(
      'div',
      { class: 'batch', hidden: true },
      element('div', { class: 'title' }, title, mark.node),
      bar.node,
      waits,
      element('div', { class: 'actions', role: 'group', 'aria-label': t('actions') }, Object.values(buttons)),
      fault,
      figures.node,
      refused.node,
      failedSection,
      section('facts', t('facts'), facts.node),
    ),
    async refresh(isCurrent) {
      let fresh;
      try {
        // A finished batch no longer changes. The status call is enough to see whether the server answers.
        fresh = batch && hasEnded(batch) ? batch : await server.batch(id);
      } catch (why) {
        if (!(why instanceof Refusal) || why.status !== 404) throw why;
        view.node.replaceChildren(
          element('h1', {}, t('no_batch')),
          element('p', {}, element('a', { href: '#/' }, t('overview'))),
        );
        show(view.node, true);
        return null;
      }
      const status = await server.status();
      if (!isCurrent()) return null;
      fill(fresh);
      await failed.fill(fresh);
      return status;
    },
  };
  setAttribute(view.node, 'data-batch', id);
  return view;
}
