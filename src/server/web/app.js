// The frame around the content, the routes, and the timer that polls the server.
import { batchView } from './batch.js';
import { Gone, Refusal, baseUrl, forgetKey, key, keyNeeded, setKey } from './client.js';
import { element, setAttribute, setText, show } from './dom.js';
import { moment } from './format.js';
import { overviewView } from './overview.js';
import { uploadView } from './upload.js';
import { currentLanguage, setLanguage, t } from './words.js';

const often = 2000; // ms between two questions
const seldom = 10_000; // at most, while the server is gone

const content = document.getElementById('content');
const banner = document.getElementById('banner');

const routes = [
  { pattern: /^#\/batches\/([\w-]+)$/, view: (id) => batchView(id) },
  { pattern: /^#\/new$/, view: () => uploadView() },
  { pattern: /^/, view: () => overviewView() },
];

let view = null; // {node, title, refresh() or nothing, status(document)}
let timer = 0;
let turn = 0; // of the view; answers for an earlier one are dropped
let last = 0; // ms, of the last answer
let wait = often;
let wasGone = false;

function link(href, words) {
  const here = (location.hash || '#/') === href;
  return element('a', { href, 'aria-current': here ? 'page' : null }, words);
}

function drawFrame() {
  const other = currentLanguage() === 'zh' ? 'en' : 'zh';
  document.documentElement.lang = currentLanguage() === 'zh' ? 'zh-CN' : 'en';
  setText(document.getElementById('skip'), t('skip'));
  document.getElementById('head').replaceChildren(
    element(
      'a',
      { class: 'brand', href: '#/' },
      element('img', { src: '/assets/icon.svg', alt: '', width: 22, height: 22 }),
      'sluice',
    ),
    element('nav', { 'aria-label': t('pages') }, link('#/', t('overview')), link('#/new', t('new_batch'))),
    element(
      'div',
      { class: 'tools' },
      keyNeeded() && key()
        ? element('button', { type: 'button', id: 'forget', onclick: leave }, t('forget_key'))
        : null,
      element(
        'button',
        {
          type: 'button',
          id: 'language',
          lang: other === 'zh' ? 'zh-CN' : 'en',
          'aria-label': t('switch_language'),
          onclick: () => {
            setLanguage(other);
            open();
            document.getElementById('language').focus();
          },
        },
        other === 'zh' ? '中文' : 'English',
      ),
    ),
  );
}

function drawFoot({ version, started_at, key: who }) {
  const words = [
    t('version', { version, time: moment(started_at) }),
    t('base_url', { url: baseUrl() }),
    who ? t('client', { name: who.name }) : '',
  ];
  setText(document.getElementById('foot'), words.filter(Boolean).join(' · '));
}

function say(words, kind) {
  setText(banner, words);
  setAttribute(banner, 'class', words ? `note ${kind}` : null);
}

function leave() {
  forgetKey();
  open();
}

/// Asks for a key, and then shows what this key may see.
function askKey(fault) {
  ++turn;
  clearTimeout(timer);
  view = null;
  say('', '');
  const field = element('input', {
    id: 'key',
    type: 'password',
    autocomplete: 'off',
    spellcheck: 'false',
    'aria-describedby': 'key-fault',
  });
  const said = element('p', { id: 'key-fault', class: 'fault', role: 'alert' }, fault ?? '');
  const form = element(
    'form',
    {
      class: 'key-form',
      onsubmit: (event) => {
        event.preventDefault();
        const value = field.value.trim();
        if (value === '') return setText(said, t('key_empty'));
        setKey(value);
        return open();
      },
    },
    element('h1', {}, t('key_title')),
    element('p', {}, t('key_about')),
    element('label', { for: 'key' }, t('key_label')),
    element('div', { class: 'row' }, field, element('button', { class: 'primary' }, t('key_send'))),
    said,
  );
  content.replaceChildren(form);
  document.title = `${t('key_title')} · sluice`;
  drawFrame();
  setText(document.getElementById('foot'), '');
  field.focus();
}

/// Shows whether the last call reached the server.
function answered() {
  last = Date.now();
  wait = often;
  content.classList.remove('stale');
  say(wasGone ? t('back') : '', 'info');
  if (wasGone) setTimeout(() => !wasGone && say('', ''), 4000);
  wasGone = false;
}
function gone() {
  wasGone = true;
  wait = Math.min(wait * 1.5, seldom);
  content.classList.toggle('stale', last > 0);
  say(last > 0 ? t('gone', { time: moment(last / 1000) }) : t('gone_first'), 'warn');
}

/// The message for a call that failed. Nothing if the page already shows the problem in another way.
function faultWords(fault) {
  if (fault instanceof Refusal && fault.status === 401) {
    forgetKey();
    askKey(t('key_wrong'));
    return '';
  }
  if (fault instanceof Gone) {
    gone();
    return '';
  }
  return fault.message;
}

async function tick(mine) {
  if (document.hidden) return; // visibilitychange begins again
  if (view?.refresh) {
    try {
      const status = await view.refresh(() => mine === turn);
      if (mine !== turn) return;
      if (status) drawFoot(status);
      answered();
    } catch (fault) {
      if (mine !== turn) return;
      if (!(fault instanceof Refusal || fault instanceof Gone)) throw fault;
      const words = faultWords(fault);
      if (mine !== turn) return;
      if (words) say(words, 'warn');
    }
    document.documentElement.dataset.ready = 'true';
  }
  clearTimeout(timer);
  timer = setTimeout(() => tick(mine), wait);
}

function open() {
  ++turn;
  clearTimeout(timer);
  if (keyNeeded() && !key()) return askKey();
  const hash = location.hash || '#/';
  const { pattern, view: make } = routes.find((one) => one.pattern.test(hash));
  view = make(...(pattern.exec(hash)?.slice(1) ?? []));
  view.report = faultWords;
  drawFrame();
  document.title = `${view.title} · sluice`;
  content.replaceChildren(view.node);
  if (!wasGone) say('', '');
  return tick(turn);
}

addEventListener('hashchange', () => {
  open();
  content.focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  tick(turn);
});
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault();
  content.focus();
});
show(document.getElementById('skip'), true);
open();
