// Calls of the server's routes, with the key that the user entered.

const place = 'sluice-key';
export const keyNeeded = () => document.documentElement.dataset.keys === 'needed';
export const key = () => sessionStorage.getItem(place);
export const setKey = (value) => sessionStorage.setItem(place, value);
export const forgetKey = () => sessionStorage.removeItem(place);

/// The base URL for SDKs: the address of this page. It may be the address of a proxy.
export const baseUrl = () => `${location.origin}/v1`;

/// The server refused a call. The message is from the server.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}
/// The server cannot be reached, or a proxy in front of it reports this.
export class Gone extends Error {}

const longestWait = 20_000;

async function refusalOf(answer) {
  let message = `HTTP ${answer.status}`;
  try {
    message = (await answer.json()).error.message;
  } catch {
    // This answer is not from sluice.
  }
  return [502, 503, 504].includes(answer.status) ? new Gone(message) : new Refusal(answer.status, message);
}

const authorization = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      ...options,
      headers: { ...options.headers, ...authorization() },
    });
  } catch (fault) {
    throw new Gone(fault.message);
  }
  if (!answer.ok) throw await refusalOf(answer);
  return answer;
}

async function json(path, options = {}) {
  const answer = await call(path, { signal: AbortSignal.timeout(longestWait), ...options });
  try {
    return await answer.json();
  } catch (fault) {
    throw new Gone(fault.message);
  }
}

const query = (fields) => {
  const known = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return known.length > 0 ? `?${new URLSearchParams(known)}` : '';
};
// No timeout: the server reads the whole job before it answers.
const post = (path, body) =>
  json(path, {
    method: 'POST',
    signal: undefined,
    headers: body ? { 'Content-Type': 'application/json' } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
const at = (id) => `/v1/batches/${encodeURIComponent(id)}`;

export const server = {
  status: () => json('/sluice/status'),
  batches: (limit, after) => json(`/v1/batches${query({ limit, after })}`),
  batch: (id) => json(at(id)),
  failedLines: (id, after) => json(`/sluice/batches/${encodeURIComponent(id)}/errors${query({ limit: 20, after })}`),
  cancel: (id) => post(`${at(id)}/cancel`),
  retry: (id) => post(`${at(id)}/retry`),
  create: (wanted) => post('/v1/batches', wanted),
};

/// Sends a file. Calls `moved` with the part that was sent, from 0 to 1. fetch() does not report progress.
export function upload(file, moved) {
  return new Promise((done, failed) => {
    const form = new FormData();
    form.append('purpose', 'batch');
    form.append('file', file, file.name);
    const request = new XMLHttpRequest();
    request.open('POST', '/v1/files');
    request.responseType = 'json';
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.addEventListener('progress', (event) => moved(event.total > 0 ? event.loaded / event.total : 0));
    request.addEventListener('error', () => failed(new Gone('')));
    request.addEventListener('load', () => {
      if (request.status === 200) done(request.response);
      else failed(new Refusal(request.status, request.response?.error?.message ?? `HTTP ${request.status}`));
    });
    request.send(form);
  });
}

/// Saves a file of the server under a name. Without a key, the browser downloads it directly, at any size.
export async function download(id, name) {
  const path = `/v1/files/${encodeURIComponent(id)}/content`;
  const url = key() ? URL.createObjectURL(await (await call(path)).blob()) : path;
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  if (url !== path) setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
