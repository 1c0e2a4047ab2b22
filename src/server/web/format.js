// Numbers and times as text. An unknown value is a dash.
import { t } from './words.js';

export const none = '–';
const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

export const count = (value) => (isNumber(value) ? value.toLocaleString('en-US', { maximumFractionDigits: 0 }) : none);
/// The exact amount, as the server sent it.
export const dollars = (text) => (typeof text === 'string' ? `$${text}` : none);

export function bytes(value) {
  if (!isNumber(value)) return none;
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let at = 0;
  let size = value;
  for (; size >= 1024 && at < units.length - 1; ++at) size /= 1024;
  return `${at === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)}\u00a0${units[at]}`;
}

export function duration(seconds) {
  if (!isNumber(seconds)) return none;
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86400), t('unit_days')],
    [Math.floor(whole / 3600) % 24, t('unit_hours')],
    [Math.floor(whole / 60) % 60, t('unit_minutes')],
    [whole % 60, t('unit_seconds')],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return `0\u00a0${t('unit_seconds')}`;
  return parts
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number}\u00a0${unit}`)
    .join(' ');
}

const two = (number) => String(number).padStart(2, '0');
/// In the time zone of the browser; with the date if it is not today.
export function moment(unix, now = Date.now() / 1000) {
  if (!isNumber(unix)) return none;
  const [then, today] = [new Date(unix * 1000), new Date(now * 1000)];
  const time = `${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())}`;
  if (then.toDateString() === today.toDateString()) return time;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}
export function hourAndMinute(unix) {
  const then = new Date(unix * 1000);
  return `${two(then.getHours())}:${two(then.getMinutes())}`;
}

/// OpenAI's name of a batch's state, in the language of the page.
export const stateName = (status) => t(`state_${status}`, {}, status);
export const hasEnded = (batch) => ['completed', 'failed', 'expired', 'cancelled'].includes(batch.status);
/// The name of a batch: from its metadata, if there is one.
export const nameOf = (batch) => batch.metadata?.name || batch.metadata?.description || batch.id;

/// A sentence that says what the requests wait for.
export function waitText(waits) {
  const left = duration(Math.ceil(waits.seconds ?? 0));
  if (waits.cause === 'pause' && waits.http_status) return t('wait_pause_http', { status: waits.http_status, left });
  return t(`wait_${waits.cause}`, { left }, waits.text);
}

/// Estimates how long batches still take, from their progress in the last minute.
export class Paces {
  #samples = new Map();
  /// How long the batch still takes, as text; empty: unknown. Under a limit, results come in bursts, so the limit
  /// gives a better estimate than a short time of measurement.
  words(batch, now = Date.now() / 1000) {
    const { total, completed, failed } = batch.request_counts;
    const todo = total - completed - failed;
    const atLimit = batch.sluice?.estimate?.minutes_at_limit;
    const { span, more } = this.#look(batch, now);
    if (more > 0 && span >= (atLimit ? 30 : 3)) return t('eta', { left: duration((todo * span) / more) });
    if (batch.status !== 'in_progress' || total === 0 || !atLimit) return '';
    return t('eta_limit', { left: duration((60 * atLimit * todo) / total) });
  }
  /// The time since the first sample of the last minute, and the number of results since then.
  #look(batch, now) {
    const { total, completed, failed } = batch.request_counts;
    const done = completed + failed;
    if (batch.status !== 'in_progress' || total === 0 || batch.sluice?.waits) {
      this.#samples.delete(batch.id);
      return { span: 0, more: 0 };
    }
    const known = (this.#samples.get(batch.id) ?? []).filter((one) => now - one.now <= 60 && one.done <= done);
    known.push({ now, done });
    this.#samples.set(batch.id, known);
    return { span: now - known[0].now, more: done - known[0].done };
  }
}
