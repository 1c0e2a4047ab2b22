// Sends a job with Node's undici: 64 connections, every reply parsed, one line written for each.
// Usage: undici.mjs BASE_URL JOB OUT IN_FLIGHT; $PEER_MODULES is the folder of node_modules.
import { createWriteStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { inEach, lines } from "./work.mjs";

const { Pool } = createRequire(`${process.env.PEER_MODULES}/-`)("undici");
const [base, job, out, inFlight] = process.argv.slice(2);
const url = new URL(base);
const pool = new Pool(url.origin, { connections: Number(inFlight), pipelining: 1 });
const results = createWriteStream(out);
let good = 0;
await inEach(lines(readFileSync(job, "utf8")), Number(inFlight), async (request) => {
  const reply = await pool.request({
    path: `${url.pathname}/chat/completions`,
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer bench" },
    body: JSON.stringify(request.body),
  });
  const body = await reply.body.json();
  if (reply.statusCode === 200 && body.choices.length > 0) ++good;
  results.write(`${JSON.stringify({ custom_id: request.custom_id, body })}\n`);
});
await pool.close();
results.end(() => console.log(good));
