// Makes and updates elements. All text becomes text nodes or attributes, never markup.

/// `attributes`: `on…` are listeners, `vars` are custom properties of the style; false and null are skipped.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'vars') setVars(made, value);
    else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function setVars(node, vars) {
  for (const [name, value] of Object.entries(vars)) node.style.setProperty(name, value);
}

/// Changes only the parts of a node that differ. So selections stay, and screen readers do not read it again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
export function setAttribute(node, name, value) {
  const wanted = value === null || value === undefined || value === false ? null : value === true ? '' : String(value);
  if (node.getAttribute(name) === wanted) return;
  if (wanted === null) node.removeAttribute(name);
  else node.setAttribute(name, wanted);
}
export const show = (node, visible) => setAttribute(node, 'hidden', !visible);

/// One child for each item, in the order of the items. It is made once for an id, and filled at each call.
export function keyed(parent, idOf, make) {
  const known = new Map();
  return (items) => {
    const ids = new Set(items.map(idOf));
    for (const [id, one] of known) {
      if (ids.has(id)) continue;
      one.node.remove();
      known.delete(id);
    }
    items.forEach((item, at) => {
      const id = idOf(item);
      if (!known.has(id)) known.set(id, make(item));
      const one = known.get(id);
      one.fill(item);
      if (parent.children[at] !== one.node) parent.insertBefore(one.node, parent.children[at] ?? null);
    });
  };
}

export function section(id, title, ...content) {
  return element(
    'section',
    { id, 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title` }, title),
    content,
  );
}

/// A table whose rows are `keyed`. columns: {title, words}; the first cell of a row names it.
export function table({ caption, columns, className, idOf, cells }) {
  const body = element('tbody', { role: 'rowgroup' });
  const head = columns.map(({ title, words }) =>
    element('th', { scope: 'col', role: 'columnheader', class: words ? 'words' : 'number' }, title),
  );
  const node = element(
    'table',
    { class: className, role: 'table' },
    element('caption', { class: 'hidden' }, caption),
    element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, head)),
    body,
  );
  const update = keyed(body, idOf, (item) => {
    const { nodes, fill } = cells(item);
    return {
      node: element(
        'tr',
        { role: 'row' },
        nodes.map((content, at) =>
          element(
            at === 0 ? 'th' : 'td',
            {
              scope: at === 0 ? 'row' : null,
              role: at === 0 ? 'rowheader' : 'cell',
              class: [columns[at].words ? 'words' : 'number', columns[at].kind].filter(Boolean).join(' '),
              'data-label': columns[at].title,
            },
            content,
          ),
        ),
      ),
      fill,
    };
  });
  return { node: element('div', { class: 'scroll' }, node), table: node, update };
}

/// The key figures: {label, id}. Each shows a value and a line of text under it.
export function tiles(figures) {
  const made = Object.fromEntries(
    figures.map(({ id, label }) => {
      const value = element('dd', { class: 'value', 'data-figure': id });
      const under = element('dd', { class: 'under' });
      return [id, { node: element('div', {}, element('dt', {}, label), value, under), value, under }];
    }),
  );
  return {
    node: element(
      'dl',
      { class: 'tiles', vars: { '--columns': Math.min(figures.length, 7) } },
      Object.values(made).map((one) => one.node),
    ),
    fill(id, value, under = '') {
      setText(made[id].value, value);
      setAttribute(made[id].value, 'class', value.length > 11 ? 'value long' : 'value');
      setText(made[id].under, under);
    },
    append: (id, node) => made[id].node.append(node),
  };
}

/// A bar with the parts that are done and that failed.
export function progressBar(label) {
  const node = element(
    'div',
    { class: 'progress', role: 'progressbar', 'aria-valuemin': '0', 'aria-label': label },
    element('span', { class: 'done' }),
    element('span', { class: 'failed' }),
  );
  return {
    node,
    fill(completed, failed, total, words) {
      const share = (part) => (total > 0 ? `${(100 * Math.min(part, total)) / total}%` : '0%');
      setVars(node, { '--done': share(completed), '--failed': share(failed) });
      setAttribute(node, 'aria-valuemax', Math.max(total, 1));
      setAttribute(node, 'aria-valuenow', Math.min(completed + failed, Math.max(total, 1)));
      setAttribute(node, 'aria-valuetext', words);
    },
  };
}

/// Asks before an action that cannot be undone. Resolves to true or false.
export function confirmed(question, yes, no) {
  return new Promise((answer) => {
    const dialog = element(
      'dialog',
      {
        'aria-labelledby': 'question',
        onclose: () => {
          dialog.remove();
          answer(dialog.returnValue === 'yes');
        },
      },
      element(
        'form',
        { method: 'dialog' },
        element('p', { id: 'question' }, question),
        element(
          'div',
          { class: 'actions' },
          element('button', { value: 'no' }, no),
          element('button', { value: 'yes', class: 'danger' }, yes),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
