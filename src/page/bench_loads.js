// The targets and loads of a benchmark: their names, and values that are calculated from their numbers.

const loadShort = (load) =>
  Number.isInteger(load.concurrency ?? load.rate) ? count(load.concurrency ?? load.rate) : figure3(load.rate);
const loadName = (load) => `${loadShort(load)} ${isNumber(load.concurrency) ? 'in flight' : 'a minute'}`;
const loadAxis = (loads) =>
  loads.every((load) => isNumber(load.concurrency))
    ? 'requests in flight'
    : loads.every((load) => !isNumber(load.concurrency))
      ? 'starts asked for a minute'
      : 'load';
const loadKey = (load) => `${load.concurrency ?? ''}/${load.rate ?? ''}`;
const targetName = (target) => target.name ?? host(target.target);
const bestLoad = (target) =>
  target.loads.reduce((best, load) => ((load.requests_per_s ?? 0) > (best.requests_per_s ?? 0) ? load : best));
const failedShare = (load) => ratio(load.failed, load.requests);
const totalOf = (targets, name) => sum(targets.flatMap((target) => target.loads.map((load) => load[name])));
const costOf = (target) =>
  target.loads.every((load) => typeof load.cost_usd === 'string')
    ? sumOfDecimals(target.loads.map((load) => load.cost_usd))
    : null;

/// The targets with at least one load. Their order determines their colours.
function targetsOf(document) {
  const all = document.targets ?? [document];
  return all.map((target, at) => ({
    ...target,
    loads: target.loads ?? [],
    shown: targetName(target),
    colour: colourOf(at),
    dash: dashOf(at),
  }));
}
