// Reads a job before it is uploaded: finds its endpoint, its models, and the lines that are not requests. The server
// checks every line again.

export const endpoints = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses'];
const mostFaults = 100;

/// The fault of a line, as the key of a sentence in words.js; or its url and its model. The server has the same rules.
function readLine(text, ids) {
  let line;
  try {
    line = JSON.parse(text);
  } catch {
    return { fault: 'line_not_json' };
  }
  if (line === null || typeof line !== 'object' || Array.isArray(line)) return { fault: 'line_not_object' };
  if (typeof line.custom_id !== 'string' || line.custom_id === '') return { fault: 'line_no_id' };
  if (line.method !== 'POST') return { fault: 'line_no_post' };
  if (!endpoints.includes(line.url)) return { fault: 'line_no_url' };
  if (line.body === null || typeof line.body !== 'object' || Array.isArray(line.body)) return { fault: 'line_no_body' };
  if (typeof line.body.model !== 'string' || line.body.model === '') return { fault: 'line_no_model' };
  if (ids.has(line.custom_id)) return { fault: 'line_same_id', id: line.custom_id };
  ids.add(line.custom_id);
  return { url: line.url, model: line.body.model };
}

/// {lines, bytes, models: [names], endpoint, faults: [{line, fault, id}], more}. Calls `moved` with the part read.
export async function look(file, moved) {
  const found = { lines: 0, bytes: file.size, models: new Set(), endpoint: null, faults: [], more: 0 };
  const ids = new Set();
  let number = 0;
  let read = 0;
  const take = (text) => {
    ++number;
    if (text.trim() === '') return;
    ++found.lines;
    const { fault, id, url, model } = readLine(text, ids);
    if (model) found.models.add(model);
    found.endpoint ??= url ?? null;
    const wrong = fault ?? (url !== found.endpoint ? 'line_other_url' : null);
    if (!wrong) return;
    if (found.faults.length < mostFaults) found.faults.push({ line: number, fault: wrong, id });
    else ++found.more;
  };
  const reader = file.stream().getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop();
    lines.forEach(take);
    if (done) break;
    read += value.length;
    moved(file.size > 0 ? read / file.size : 1);
  }
  if (rest !== '') take(rest);
  return { ...found, models: [...found.models] };
}
