// Starts a batch: choose the file, see its faults, and choose how it runs.
import { server, upload } from './client.js';
import { element, setAttribute, setText, show, table } from './dom.js';
import { bytes, count } from './format.js';
import { endpoints, look } from './jsonl.js';
import { t } from './words.js';

const windows = [
  ['1h', () => t('hours', { n: 1 })],
  ['6h', () => t('hours', { n: 6 })],
  ['24h', () => t('hours', { n: 24 })],
  ['3d', () => t('days', { n: 3 })],
  ['7d', () => t('days', { n: 7 })],
  ['30d', () => t('days', { n: 30 })],
];
const mostPairs = 16;
const shownModels = 3;

const percent = (share) => `${Math.floor(100 * share)}\u00a0%`;

function modelWords(models) {
  const first = models.slice(0, shownModels).join(', ');
  return models.length > shownModels ? t('and_more_models', { models: first, n: models.length - shownModels }) : first;
}

function field(id, label, control, about) {
  return element(
    'div',
    { class: 'field' },
    element('label', { for: id }, label),
    control,
    about ? element('span', { class: 'about', id: `${id}-about` }, about) : null,
  );
}

function pairFields() {
  const rows = element('div', { class: 'pairs' });
  const add = element(
    'button',
    {
      type: 'button',
      id: 'add-pair',
      onclick: () => {
        append('', '');
        rows.lastElementChild.querySelector('input').focus();
      },
    },
    t('metadata_add'),
  );
  function append(name, value) {
    const n = rows.childElementCount + 1;
    const made = [
      element('input', { class: 'pair-name', maxlength: 64, 'aria-label': t('metadata_name', { n }) }),
      element('input', { class: 'pair-value', maxlength: 512, 'aria-label': t('metadata_value', { n }) }),
    ];
    [made[0].value, made[1].value] = [name, value];
    rows.append(element('div', { class: 'row' }, made));
    add.disabled = n >= mostPairs;
  }
  append('name', '');
  return {
    node: element(
      'fieldset',
      {},
      element('legend', {}, t('metadata')),
      element('p', { class: 'about' }, t('metadata_about')),
      rows,
      add,
    ),
    setName(value) {
      const [first] = rows.children;
      const [name, text] = first.querySelectorAll('input');
      if (name.value === 'name') text.value = value.slice(0, 512);
    },
    value() {
      const pairs = [...rows.children]
        .map((row) => [...row.querySelectorAll('input')].map((input) => input.value.trim()))
        .filter(([name, value]) => name !== '' && value !== '');
      return pairs.length > 0 ? Object.fromEntries(pairs) : null;
    },
  };
}

export function uploadView() {
  let file = null;
  const input = element('input', {
    type: 'file',
    id: 'file',
    accept: '.jsonl,.ndjson,application/jsonl,application/x-ndjson',
    class: 'hidden',
  });
  const drop = element(
    'label',
    { class: 'drop', for: 'file' },
    element('strong', {}, t('drop')),
    element('span', { class: 'about' }, t('drop_about')),
  );
  const looked = element('p', { role: 'status', id: 'looked' });
  const models = element('p', { class: 'about' });
  const fault = element('p', { class: 'fault', role: 'alert', id: 'fault' });
  const rows = table({
    caption: t('faults_title'),
    className: 'cards faults',
    columns: [{ title: t('line') }, { title: t('message'), words: true, kind: 'message' }],
    idOf: (one) => String(one.line),
    cells: (one) => ({ nodes: [count(one.line), t(one.fault, { id: one.id })], fill: () => {} }),
  });
  const more = element('p', { class: 'about' });
  const faults = element(
    'div',
    { hidden: true },
    element('h2', {}, t('faults_title')),
    element('p', {}, t('faults_about')),
    rows.node,
    more,
  );
  const endpoint = element(
    'select',
    { id: 'endpoint', 'aria-describedby': 'endpoint-about' },
    endpoints.map((one) => element('option', { value: one }, one)),
  );
  const window_ = element(
    'select',
    { id: 'window', 'aria-describedby': 'window-about' },
    windows.map(([value, words]) => element('option', { value, selected: value === '24h' }, words())),
  );
  const priority = element('input', { id: 'priority', type: 'number', min: -100, max: 100, step: 1, value: 0 });
  const pairs = pairFields();
  const start = element('button', { class: 'primary', id: 'start' }, t('start'));
  const moved = element('progress', { max: 1, value: 0, hidden: true, 'aria-label': t('uploading', { share: '' }) });
  const said = element('p', { role: 'status', id: 'said' });

  let looks = 0;
  async function choose(chosen) {
    if (!chosen) return;
    const mine = ++looks;
    file = chosen;
    setText(fault, '');
    show(options, false);
    show(faults, false);
    setText(models, '');
    const found = await look(
      chosen,
      (share) => mine === looks && setText(looked, t('looking', { name: chosen.name, share: percent(share) })),
    );
    if (mine !== looks) return;
    setText(looked, t('looked', { name: chosen.name, lines: count(found.lines), size: bytes(found.bytes) }));
    setText(models, found.models.length > 0 ? t('looked_models', { models: modelWords(found.models) }) : '');
    if (found.lines === 0) return setText(fault, t('no_lines'));
    rows.update(found.faults);
    show(faults, found.faults.length > 0);
    setText(more, found.more > 0 ? t('faults_more', { n: count(found.more) }) : '');
    if (found.endpoint) endpoint.value = found.endpoint;
    pairs.setName(chosen.name);
    show(options, found.faults.length === 0);
  }

  async function send() {
    start.disabled = true;
    show(moved, true);
    setText(fault, '');
    try {
      const stored = await upload(file, (share) => {
        moved.value = share;
        setText(said, t('uploading', { share: percent(share) }));
      });
      setText(said, t('creating'));
      const wanted = { input_file_id: stored.id, endpoint: endpoint.value, completion_window: window_.value };
      const metadata = pairs.value();
      if (metadata) wanted.metadata = metadata;
      if (Number(priority.value) !== 0) wanted.priority = Number(priority.value);
      location.hash = `#/batches/${(await server.create(wanted)).id}`;
    } catch (why) {
      setText(fault, view.report(why) || t('gone_first'));
      setText(said, '');
    }
    show(moved, false);
    start.disabled = false;
  }

  const options = element(
    'form',
    {
      hidden: true,
      class: 'options',
      onsubmit: (event) => {
        event.preventDefault();
        send();
      },
    },
    field('endpoint', t('endpoint'), endpoint, t('endpoint_about')),
    field('window', t('window'), window_, t('window_about')),
    field('priority', t('priority'), priority),
    pairs.node,
    element('div', { class: 'actions' }, start, moved),
    said,
  );
  // Allows to choose the same file again after it was corrected.
  input.addEventListener('click', () => {
    input.value = '';
  });
  input.addEventListener('change', () => choose(input.files[0]));
  for (const name of ['dragenter', 'dragover']) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
  }
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    choose(event.dataTransfer.files[0]);
  });

  const view = {
    title: t('new_batch'),
    node: element(
      'div',
      { class: 'upload' },
      element('h1', {}, t('new_batch')),
      input,
      drop,
      looked,
      models,
      fault,
      faults,
      options,
    ),
    async refresh(isCurrent) {
      const status = await server.status();
      return isCurrent() ? status : null;
    },
  };
  setAttribute(view.node, 'data-view', 'upload');
  return view;
}
