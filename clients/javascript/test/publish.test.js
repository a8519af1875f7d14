import assert from "node:assert/strict";
import { test } from "node:test";

import { live } from "../dist/mainstem-live.js";
import { gateway } from "./gateway.js";

const limit = { timeout: 20_000 };
const appended = { channel: "comments:42", partition: 0, offset: 5, time: 9, duplicate: false };

function ok(response) {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(appended));
}

test("JSON is appended, and the answer says where", limit, async (t) => {
  const server = await gateway(t, ({ response }) => ok(response));
  const page = live(server.url, { token: () => "secret" });
  assert.deepEqual(await page.publish("comments:42", { text: "é" }), appended);
  const { method, path, headers, body } = await server.request(1);
  assert.deepEqual([method, path, body], ["POST", "/live/comments%3A42", '{"text":"é"}']);
  assert.equal(headers["content-type"], "application/json");
  assert.equal(headers.authorization, "Bearer secret");
  assert.match(headers["idempotency-key"], /^[0-9.]{20,}$/);
});

test("each has a key of its own, or the caller's", limit, async (t) => {
  const server = await gateway(t, ({ response }) => ok(response));
  const page = live(server.url);
  await page.publish("likes:42", 1);
  await page.publish("likes:42", 1);
  await page.publish("likes:42", 1, { key: "mine" });
  const keys = server.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.notEqual(keys[0], keys[1]);
  assert.equal(keys[2], "mine");
});

test("where the answer is lost it is sent again with the same key", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) => {
    if (number === 1) response.destroy();
    else if (number === 2) response.writeHead(503).end();
    else ok(response);
  });
  assert.deepEqual(await live(server.url).publish("comments:42", "hi"), appended);
  const keys = new Set(server.requests.map(({ headers }) => headers["idempotency-key"]));
  assert.deepEqual([server.requests.length, keys.size], [3, 1]);
});

test("a refusal is the gateway's sentence, and final", limit, async (t) => {
  const server = await gateway(t, ({ response }) =>
    response.writeHead(403).end('{"error":"you may not publish to score:7","code":29}'),
  );
  await assert.rejects(live(server.url).publish("score:7", 1), (error) => {
    assert.deepEqual([error.message, error.status, error.code, error.final], [
      "you may not publish to score:7",
      403,
      29,
      true,
    ]);
    return true;
  });
  assert.equal(server.requests.length, 1);
});

test("a channel's name is one part of the path", limit, async (t) => {
  const server = await gateway(t, ({ response }) => ok(response));
  await live(server.url).publish("comments:a/b?c", 1);
  assert.equal((await server.request(1)).path, "/live/comments%3Aa%2Fb%3Fc");
});
