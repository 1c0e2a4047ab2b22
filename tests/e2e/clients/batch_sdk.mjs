// Runs one batch from start to end with OpenAI's SDK for Node, and prints the answers as JSON.
// Usage: batch_sdk.mjs INPUT. OPENAI_BASE_URL and OPENAI_API_KEY give the server and the key; $NODE_CLIENT is the
// folder of node_modules.
import fs from "node:fs";
import { createRequire } from "node:module";

const { default: OpenAI, toFile } = createRequire(`${process.env.NODE_CLIENT}/-`)("openai");
process.on("warning", (warning) => { throw warning; });
const client = new OpenAI();

const uploaded = await client.files.create({ file: fs.createReadStream(process.argv[2]), purpose: "batch" });
let batch = await client.batches.create({
  input_file_id: uploaded.id, endpoint: "/v1/chat/completions", completion_window: "24h",
  metadata: { description: "nightly eval" },
});
const seen = [batch.status];
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  batch = await client.batches.retrieve(batch.id);
  if (batch.status !== seen.at(-1)) seen.push(batch.status);
}
const content = async (id) => (id ? (await client.files.content(id)).text() : "");
const output = await content(batch.output_file_id);
const errors = await content(batch.error_file_id);

const second = await client.files.create({ file: await toFile(Buffer.from("{}\n"), "notes.jsonl"), purpose: "user_data" });
const listed = [];
for await (const file of client.files.list({ limit: 1 })) listed.push(file.id);
const batches = [];
for await (const one of client.batches.list({ limit: 1 })) batches.push(one.id);
const deleted = await client.files.delete(second.id);

const refusal = async (call) => {
  try {
    await call();
  } catch (fault) {
    return { name: fault.constructor.name, status: fault.status, param: fault.param, code: fault.code, type: fault.type };
  }
  return null;
};
const refusals = {
  unknown_file: await refusal(() => client.files.retrieve("file-unknown")),
  unknown_batch: await refusal(() => client.batches.retrieve("batch_unknown")),
  cancel_ended: await refusal(() => client.batches.cancel(batch.id)),
};
console.log(JSON.stringify({ uploaded, batch, seen, output, errors, listed, batches, second, deleted, refusals }));
