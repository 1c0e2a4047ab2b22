// Makes interactive calls with OpenAI's SDK for Node, and prints the answers as JSON.
// OPENAI_BASE_URL and OPENAI_API_KEY give the server and the key; $NODE_CLIENT is the folder of node_modules.
import { createRequire } from "node:module";

const { default: OpenAI } = createRequire(`${process.env.NODE_CLIENT}/-`)("openai");
process.on("warning", (warning) => { throw warning; });
const client = new OpenAI();
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Say hello." }];

const seen = {};
const began = performance.now();
seen.chat = await client.chat.completions.create({ model, messages });
seen.first_call_s = (performance.now() - began) / 1000;
seen.chunks = [];
const stream = await client.chat.completions.create({
  model, messages, stream: true, max_tokens: 20, stream_options: { include_usage: true },
});
for await (const chunk of stream) seen.chunks.push(chunk);
const cut = await client.chat.completions.create({ model, messages, stream: true, max_tokens: 500 });
for await (const chunk of cut) {
  seen.cut_after = chunk.id;
  break; // closes the connection
}
seen.embedding = (await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] })).data.length;
seen.response = await client.responses.create({ model, input: "Say hello." });
seen.events = [];
for await (const event of await client.responses.create({ model, input: "Say hello.", stream: true })) {
  seen.events.push(event.type);
}
seen.completion = (await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "Say" })).choices[0].text;
seen.models = [];
for await (const one of client.models.list()) seen.models.push(one.id);
seen.model = (await client.models.retrieve(seen.models[0])).id;
const { response } = await client.chat.completions.create({ model, messages }).withResponse();
seen.request_id = response.headers.get("x-request-id");
try {
  await client.models.retrieve("no-such-model");
  seen.unknown = null;
} catch (fault) {
  seen.unknown = fault.code;
}
const many = await Promise.all(Array.from({ length: 30 }, () => client.chat.completions.create({ model, messages })));
seen.many = many.filter((one) => one.choices[0].message.content).length;
console.log(JSON.stringify(seen));
