// Shared by the Node clients.
export function lines(text) {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

export async function inEach(items, inFlight, use) {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await use(items[next++]);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}
