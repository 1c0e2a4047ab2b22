// Sends a job with the openai SDK for Node.
// Usage: openai_sdk.mjs BASE_URL JOB OUT IN_FLIGHT; $PEER_MODULES is the folder of node_modules.
import { createWriteStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { inEach, lines } from "./work.mjs";

const { default: OpenAI } = createRequire(`${process.env.PEER_MODULES}/-`)("openai");
const [base, job, out, inFlight] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base, apiKey: "bench" });
const results = createWriteStream(out);
let good = 0;
await inEach(lines(readFileSync(job, "utf8")), Number(inFlight), async (request) => {
  const reply = await client.chat.completions.create(request.body);
  let body = reply;
  if (request.body.stream) {
    body = { text: "" };
    for await (const chunk of reply) body.text += chunk.choices[0]?.delta?.content ?? "";
    if (body.text) ++good;
  } else if (body.choices.length > 0) {
    ++good;
  }
  results.write(`${JSON.stringify({ custom_id: request.custom_id, body })}\n`);
});
results.end(() => console.log(good));
