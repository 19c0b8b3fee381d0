// OpenAI's client for Node, unmodified, against a server that runs: models, chat, stream, completion, log probabilities, errors.
//
//     npm ci --prefix bench/node && node bench/node/serve_clients.mjs URL      (what `plasticity serve` prints)
//
// Prints what was said as JSON; ends with an error where two ways of asking give two answers.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });

const models = (await client.models.list()).data.map((entry) => entry.id);
assert.equal(models.length, 1);
const model = models[0];

const ask = {
  model,
  messages: [{ role: "user", content: "What is the capital of France?" }],
  max_tokens: 24,
  temperature: 0,
};
const chat = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2 });
const said = chat.choices[0].message.content;
assert.match(said, /Paris/);
assert.equal(chat.choices[0].logprobs.content.map((entry) => entry.token).join(""), said);
assert.equal(chat.choices[0].logprobs.content[0].top_logprobs.length, 2);

let streamed = "";
let usage;
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
  streamed += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(streamed, said);
assert.equal(usage.completion_tokens, chat.usage.completion_tokens);

const write = { model, prompt: "def is_prime(n):", max_tokens: 16, temperature: 0 };
const completion = await client.completions.create({ ...write, logprobs: 1 });
assert.equal(completion.choices[0].logprobs.token_logprobs.length, completion.usage.completion_tokens);
let pieces = "";
for await (const piece of await client.completions.create({ ...write, stream: true })) pieces += piece.choices[0]?.text ?? "";
assert.equal(pieces, completion.choices[0].text);

const stream = await client.completions.create({ ...write, max_tokens: 512, stream: true });
for await (const _ of stream) break; // leaves in the middle
await assert.rejects(client.completions.create({ ...write, max_tokens: -5 }), OpenAI.BadRequestError);
await assert.rejects(client.completions.create({ ...write, prompt: "one more ".repeat(20000) }), OpenAI.BadRequestError);

console.log(JSON.stringify({ model, chat: said, completion: completion.choices[0].text }, null, 2));
