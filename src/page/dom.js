// Elements and tables. All text, wherever it comes from, becomes text nodes and attributes, never markup.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/// A mark in the colour of a target or job, for display beside its name.
const swatch = (colour) =>
  element('span', { class: 'swatch', style: `--swatch: var(${colour})`, 'aria-hidden': 'true' });

/// A cell that shows `text`. `value` is the exact number or decimal in the document.
const cell = (text, value, more = {}) => ({ text, value, ...more });
const cells = {
  count: (value) => cell(count(value), value),
  figure: (value) => cell(figure3(value), value),
  ms: (value) => cell(figure3(value), value),
  percent: (value) => cell(percent(value), value),
  dollars: (value) => cell(dollars(value), value),
  text: (text) => cell(text ?? none, undefined, { words: true }),
  /// A percentile of `stats`, with a star if there are only few requests.
  percentile: (stats, share) =>
    cell(`${figure3(stats?.[share])}${isNumber(stats?.[share]) ? ofFew(stats) : ''}`, stats?.[share]),
};

/// The text that explains the stars of a table; null if there are none.
const starNote = (rows) =>
  rows.some((row) => Array.isArray(row) && row.some(({ text }) => typeof text === 'string' && text.endsWith('*')))
    ? paragraph(`* of fewer than ${fewRequests} requests: the p99 is about the slowest of them.`)
    : null;

function tableCell(content, column, isHeader) {
  const { text, value, words, span, colour, mark } = content;
  const made = element(isHeader ? 'th' : 'td', {
    class: [column.words || words ? 'words' : 'number', mark].filter(Boolean).join(' '),
    scope: isHeader ? 'row' : null,
    rowspan: span > 1 ? span : null,
    'data-value': value === undefined || value === null ? null : String(value),
  });
  if (colour) made.append(swatch(colour), ' ');
  made.append(text);
  return made;
}

function headRows(columns) {
  const grouped = columns.some((column) => column.group);
  const leaf = (column) =>
    element(
      'th',
      { scope: 'col', class: column.words ? 'words' : 'number', rowspan: grouped && !column.group ? 2 : null },
      column.colour ? [swatch(column.colour), ' '] : [],
      column.title,
      column.unit ? element('span', { class: 'unit' }, ` ${column.unit}`) : null,
    );
  if (!grouped) return [element('tr', {}, columns.map(leaf))];
  const first = element('tr');
  columns.forEach((column, at) => {
    if (!column.group) return first.append(leaf(column));
    if (at > 0 && columns[at - 1].group === column.group) return undefined;
    const span = columns.filter((other) => other.group === column.group).length;
    return first.append(
      element(
        'th',
        { scope: 'colgroup', colspan: span, class: 'group' },
        column.group,
        column.groupUnit ? element('span', { class: 'unit' }, ` ${column.groupUnit}`) : null,
      ),
    );
  });
  return [first, element('tr', {}, columns.filter((column) => column.group).map(leaf))];
}

/// columns: {title, unit, words, group}. rows: arrays of cells; the first `headers` cells are the headers of the row. A
/// row {group: words} begins a new part of the table.
function table({ caption, columns, rows, headers = 1, name }) {
  const body = [];
  for (const row of rows) {
    if (row.group !== undefined) {
      body.push(
        element(
          'tbody',
          {},
          element(
            'tr',
            { class: 'part' },
            element('th', { scope: 'rowgroup', colspan: columns.length, class: 'words' }, row.group),
          ),
        ),
      );
      continue;
    }
    if (body.length === 0) body.push(element('tbody'));
    let missing = columns.length - row.length; // cells of earlier rows that span into this row
    body.at(-1).append(
      element(
        'tr',
        {},
        row.map((content, at) => tableCell(content, columns[at + missing], at + missing < headers)),
      ),
    );
  }
  const made = element(
    'table',
    { 'data-table': name },
    element('caption', {}, caption),
    element('thead', {}, headRows(columns)),
    body,
  );
  const scrolled = element('div', { class: 'scroll' }, made);
  const stars = starNote(rows);
  if (!stars) return scrolled;
  stars.className = 'stars';
  return element('div', {}, scrolled, stars);
}

/// Makes parts that are wider or higher than their place scrollable, also with the keyboard.
function markScrolling() {
  for (const place of document.querySelectorAll('.scroll')) {
    const scrolls = place.scrollWidth > place.clientWidth + 1 || place.scrollHeight > place.clientHeight + 1;
    const marks = { tabindex: '0', role: 'region', 'aria-label': place.querySelector('caption').textContent };
    for (const [name, value] of Object.entries(marks)) {
      if (scrolls) place.setAttribute(name, value);
      else place.removeAttribute(name);
    }
  }
}

/// Shrinks tables that are wider than the paper.
function fitTables(isPaper) {
  for (const made of document.querySelectorAll('table')) {
    made.style.zoom = '';
    if (isPaper && made.offsetWidth > made.parentElement.clientWidth)
      made.style.zoom = made.parentElement.clientWidth / made.offsetWidth;
  }
}

function section(id, title, ...content) {
  const filled = content.flat().filter(Boolean);
  if (filled.length === 0) return null;
  return element(
    'section',
    { id, 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title` }, title),
    filled,
  );
}

const paragraph = (...words) => element('p', {}, words);
const note = (kind, ...words) => element('p', { class: `note ${kind}`, role: 'note' }, words);

/// [{label, value, unit, under}]: the key figures.
function tiles(figures, name) {
  const known = figures.filter(Boolean);
  return element(
    'dl',
    {
      class: 'tiles',
      'data-tiles': name,
      style: `--columns: ${known.length > 5 ? Math.ceil(known.length / 2) : known.length}`,
    },
    known.map(({ label, value, unit, under, data }) =>
      element(
        'div',
        {},
        element('dt', {}, label),
        element(
          'dd',
          { class: String(value).length > 8 ? 'value long' : 'value', 'data-value': data ?? null },
          value,
          unit ? element('span', { class: 'unit' }, ` ${unit}`) : null,
        ),
        under ? element('dd', { class: 'under' }, under) : null,
      ),
    ),
  );
}
