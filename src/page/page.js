// Builds the page. Redraws the plots if the width of the page, or its light or dark mode, changes.

function showHead(head) {
  document.title = `${head.title} – sluice ${head.kind.toLowerCase()} report`;
  document.getElementById('head').append(
    element('p', { class: 'kind' }, `sluice · ${head.kind} report`),
    element('h1', {}, head.title),
    element(
      'ul',
      { class: 'facts' },
      head.facts.filter(Boolean).map((fact) => element('li', {}, fact)),
    ),
  );
}

function showContents(sections) {
  document.getElementById('contents').append(
    element(
      'ol',
      {},
      sections.map((one) =>
        element('li', {}, element('a', { href: `#${one.id}` }, one.querySelector('h2').textContent)),
      ),
    ),
  );
}

/// For printing: light colours, the width of the paper, and all sections open.
function preparePaper(isPaper) {
  document.documentElement.classList.toggle('paper', isPaper);
  for (const details of document.querySelectorAll('details:not(.long)')) {
    if (isPaper) {
      details.dispatchEvent(new Event('fill'));
      details.dataset.wasOpen = details.open;
    }
    details.open = isPaper || details.dataset.wasOpen === 'true';
  }
  fitTables(isPaper);
  drawAll();
}

function watchMedia() {
  let paper = false;
  const toPaper = (isPaper) => {
    if (paper === isPaper) return;
    paper = isPaper;
    preparePaper(isPaper);
  };
  addEventListener('beforeprint', () => toPaper(true));
  addEventListener('afterprint', () => toPaper(false));
  matchMedia('print').addEventListener('change', (change) => toPaper(change.matches));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  let width = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    if (width === document.documentElement.clientWidth || paper) return;
    width = document.documentElement.clientWidth;
    requestAnimationFrame(drawAll);
  }).observe(document.documentElement);
}

function show(told) {
  const { head, sections } = told.jobs ? jobsPage(told) : benchPage(told);
  const shown = sections.filter(Boolean);
  showHead(head);
  showContents(shown);
  document.getElementById('content').append(...shown);
  document
    .getElementById('foot')
    .append(
      element(
        'p',
        {},
        'Made by sluice. The plots are drawn with uPlot, MIT License; its notice stands in this file. The numbers are in it as JSON, too, in the element “document”.',
      ),
    );
  drawAll();
  watchMedia();
}

try {
  show(JSON.parse(document.getElementById('document').textContent));
} catch (fault) {
  document
    .getElementById('content')
    .prepend(note('warn', `This report cannot be drawn: ${fault.message}. Its numbers stand in this file as JSON.`));
  throw fault;
} finally {
  document.documentElement.dataset.ready = 'true';
}
