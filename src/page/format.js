'use strict';
// Numbers in a readable form. An unknown number is shown as a dash.

const none = '–';
const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

function fixed(value, digits) {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/// A number with about three significant digits. Values from 100 on have all their digits and no decimals.
function figure3(value) {
  if (!isNumber(value)) return none;
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return fixed(value, 0);
  if (size >= 10) return fixed(value, 1);
  if (size >= 1) return fixed(value, 2);
  return String(Number(value.toPrecision(2)));
}

const count = (value) => (isNumber(value) ? fixed(value, 0) : none);

function percent(share) {
  if (!isNumber(share)) return none;
  const value = share * 100;
  return `${value === 0 || value === 100 ? value : Math.abs(value) >= 1 ? fixed(value, 1) : figure3(value)}\u00a0%`;
}

/// Percentiles of fewer requests than this are marked.
const fewRequests = 100;
const ofFew = (stats) => (isNumber(stats?.count) && stats.count < fewRequests ? '*' : '');

const fewWords = (stats) => (ofFew(stats) ? ` (of ${plural(stats.count, 'request')})` : '');

const ratio = (part, whole) => (isNumber(part) && whole > 0 ? part / whole : null);
const milliseconds = (value) => (isNumber(value) ? `${figure3(value)}\u00a0ms` : none);
const dollars = (text) => (typeof text === 'string' ? `$${text}` : none);
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

function duration(seconds) {
  if (!isNumber(seconds)) return none;
  if (seconds < 60) return `${figure3(seconds)}\u00a0s`;
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ].filter(([number]) => number > 0);
  return parts
    .slice(0, 2)
    .map(([number, unit]) => `${number}\u00a0${unit}`)
    .join(' ');
}

/// A label of a time axis: 90 is 1:30, an hour is 1:00:00.
function clock(seconds) {
  const whole = Math.abs(Math.round(seconds * 10) / 10);
  if (whole < 60) return `${seconds < 0 ? '-' : ''}${Number.isInteger(whole) ? whole : whole.toFixed(1)}`;
  const two = (number) => String(Math.floor(number)).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/// The labels of an axis with even steps. All have the same number of decimals.
function evenTicks(splits) {
  const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
  const digits = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const needed = splits.some(
    (value) => isNumber(value) && Math.abs(value * 10 ** digits - Math.round(value * 10 ** digits)) > 1e-6,
  )
    ? digits + 1
    : digits;
  return splits.map((value) => (value === null ? '' : fixed(value, needed)));
}

function moment(unix) {
  if (!isNumber(unix)) return none;
  const date = new Date(unix * 1000);
  return Number.isNaN(date.getTime()) ? none : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function host(url) {
  try {
    return new URL(url).host || url;
  } catch {
    return String(url);
  }
}

/// The exact sum of decimals like "0.0123"; null if there are none.
function sumOfDecimals(texts) {
  const known = texts.filter((text) => typeof text === 'string' && /^-?\d+(\.\d+)?$/.test(text));
  if (known.length === 0) return null;
  const places = Math.max(...known.map((text) => (text.split('.')[1] ?? '').length));
  const units = known.reduce((sum, text) => {
    const [whole, fraction = ''] = text.split('.');
    return sum + BigInt(whole + fraction.padEnd(places, '0'));
  }, 0n);
  const sign = units < 0n ? '-' : '';
  const digits = String(units < 0n ? -units : units).padStart(places + 1, '0');
  const text = `${digits.slice(0, digits.length - places)}.${digits.slice(digits.length - places)}`;
  return sign + (places > 0 ? text.replace(/\.?0+$/, '') : digits);
}

const sum = (numbers) => numbers.reduce((total, number) => total + (isNumber(number) ? number : 0), 0);
const entries = (object) => Object.entries(object ?? {});
const listed = (words) => (words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`);
