// A first look at a job before it is uploaded: its endpoint, its models, and lines that cannot be requests. The server
// checks every line again.

export const endpoints = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses'];
const mostFaults = 100;

/// What is wrong with a line, as the key of a sentence; null: nothing.
function faultOf(text, ids) {
  let line;
  try {
    line = JSON.parse(text);
  } catch {
    return { fault: 'line_not_json' };
  }
  if (line === null || typeof line !== 'object' || Array.isArray(line)) return { fault: 'line_not_object' };
  if (line.custom_id === undefined || line.custom_id === null || line.custom_id === '') return { fault: 'line_no_id' };
  if (ids.has(line.custom_id)) return { fault: 'line_same_id', id: String(line.custom_id) };
  ids.add(line.custom_id);
  if (line.body === null || typeof line.body !== 'object') return { fault: 'line_no_body' };
  if (typeof line.body.model !== 'string') return { fault: 'line_no_model' };
  return { url: line.url, model: line.body.model };
}

/// {lines, bytes, models: [names], endpoint, faults: [{line, fault, id}], more}. `moved` gets the share that was read.
export async function look(file, moved) {
  const found = { lines: 0, bytes: file.size, models: new Set(), endpoint: null, faults: [], more: 0 };
  const ids = new Set();
  let number = 0;
  let read = 0;
  const take = (text) => {
    ++number;
    if (text.trim() === '') return;
    ++found.lines;
    const { fault, id, url, model } = faultOf(text, ids);
    if (model) found.models.add(model);
    const normal = typeof url === 'string' ? `/v1${url.replace(/^\/v1/, '')}` : null;
    if (!found.endpoint && endpoints.includes(normal)) found.endpoint = normal;
    const wrong = fault ?? (normal && found.endpoint && normal !== found.endpoint ? 'line_other_url' : null);
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


