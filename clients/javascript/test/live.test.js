import assert from "node:assert/strict";
import { test } from "node:test";

import { live } from "../dist/mainstem-live.js";
import { jitter } from "../src/connection.js";
import { comment, frame, gateway, Heard, stream } from "./gateway.js";

const limit = { timeout: 20_000 };

function open(t, url, options) {
  const made = live(url, { share: false, ...options });
  t.after(() => made.close());
  return made;
}

const offsets = (events) => events.map(({ offset }) => offset);

test("channels and the beginning are asked for, and events come in order", limit, async (t) => {
  const server = await gateway(t, ({ response }) => {
    stream(response).write(frame("c1", { channels: [], from: "last:2" }, "resumed"));
    response.write(frame("c2", comment(1)) + frame("c3", comment(2)));
  });
  const heard = new Heard();
  const page = open(t, server.url, { from: "last:2" });
  page.subscribe(["comments:42", "likes:42"], heard.add);
  assert.deepEqual(offsets(await heard.until(2)), [1, 2]);
  const { channels, query, headers } = await server.request(1);
  assert.deepEqual(channels, ["comments:42", "likes:42"]);
  assert.equal(query.get("from"), "last:2");
  assert.equal(headers.accept, "text/event-stream");
  assert.equal(page.cursor, "c3");
});

test("after a break it goes on at the cursor, and what comes twice is told once", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) => {
    stream(response).write("retry: 1\n\n");
    if (number === 1) response.end(frame("c1", comment(1)) + frame("c2", comment(2)) + "id: c9\n\n");
    else response.write(frame("c2", comment(2)) + frame("c3", comment(3)));
  });
  const heard = new Heard();
  open(t, server.url, { from: "earliest" }).subscribe("comments:42", heard.add);
  assert.deepEqual(offsets(await heard.until(3)), [1, 2, 3]);
  const { query } = await server.request(2);
  assert.equal(query.get("last_event_id"), "c9", "a block of an id alone moves the cursor");
  assert.equal(query.get("from"), null);
});

test("a block cut off by the break is not told", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) => {
    stream(response).write("retry: 1\n\n");
    if (number === 1) response.end(frame("c1", comment(1)) + "id: c2\ndata: {}\n");
    else response.write(frame("c2", comment(2)));
  });
  const heard = new Heard();
  open(t, server.url).subscribe("comments:42", heard.add);
  assert.deepEqual(offsets(await heard.until(2)), [1, 2]);
  assert.equal((await server.request(2)).query.get("last_event_id"), "c1");
});

test("a reset is told, and offsets may start anew after it", limit, async (t) => {
  const reset = { reason: "epoch", channels: ["comments:42"] };
  const server = await gateway(t, ({ response }) => {
    stream(response).write(frame("c1", comment(7)) + frame("d0", reset, "reset"));
    response.write(frame("d1", comment(0)));
  });
  const heard = new Heard();
  const page = open(t, server.url, { onReset: heard.add });
  page.subscribe("comments:42", heard.add);
  const [first, told, second] = await heard.until(3);
  assert.deepEqual([first.offset, told.reason, second.offset], [7, "epoch", 0]);
});

test("the wait is the gateway's retry, and jitter on top", limit, async (t) => {
  const times = [];
  t.mock.method(Math, "random", () => 0);
  const server = await gateway(t, ({ response }) => {
    times.push(performance.now());
    stream(response).end("retry: 300\n\n");
  });
  open(t, server.url).subscribe("comments:42", () => {});
  await server.request(3);
  for (const at of [1, 2]) {
    const wait = times[at] - times[at - 1];
    assert.ok(wait >= 290, `${wait} ms`);
  }
});

test("the jitter is full, and doubles up to a minute", (t) => {
  const random = t.mock.method(Math, "random", () => 1);
  assert.deepEqual([0, 1, 2, 5, 6, 60].map(jitter), [1000, 2000, 4000, 32_000, 60_000, 60_000]);
  random.mock.mockImplementation(() => 0);
  assert.equal(jitter(6), 0);
});

for (const status of [204, 400, 403, 404]) {
  test(`${status} ends it`, limit, async (t) => {
    const server = await gateway(t, ({ response }) =>
      response.writeHead(status).end(status === 204 ? "" : '{"error":"no, for good"}'),
    );
    const states = new Heard();
    const errors = new Heard();
    const page = open(t, server.url, { onState: states.add, onError: errors.add });
    page.subscribe("comments:42", () => {});
    assert.deepEqual(await states.until(2), ["connecting", "closed"]);
    assert.ok(errors[0].final);
    assert.equal(errors[0].status, status);
    if (status !== 204) assert.equal(errors[0].message, "no, for good");
  });
}

for (const status of [429, 500, 503]) {
  test(`${status} is tried again`, limit, async (t) => {
    const server = await gateway(t, ({ response }, number) => {
      if (number === 1) response.writeHead(status).end("busy");
      else stream(response).write(frame("c1", comment(1)));
    });
    const heard = new Heard();
    open(t, server.url).subscribe("comments:42", heard.add);
    await heard.until(1);
  });
}

test("a page that is no stream is no stream", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) => {
    if (number === 1) response.writeHead(200, { "content-type": "text/html" }).end("data: x\n\n");
    else stream(response).write(frame("c1", comment(1)));
  });
  const heard = new Heard();
  open(t, server.url).subscribe("comments:42", heard.add);
  assert.deepEqual(offsets(await heard.until(1)), [1]);
});

test("a gateway that fell silent is given up", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) => {
    stream(response).write("retry: 1\n\n" + frame(`c${number}`, comment(number)));
  });
  const heard = new Heard();
  open(t, server.url, { silence: 200 }).subscribe("comments:42", heard.add);
  assert.deepEqual(offsets(await heard.until(2)), [1, 2]);
});

test("the token is sent, asked anew when refused, once", limit, async (t) => {
  const server = await gateway(t, ({ response, headers }) => {
    if (headers.authorization !== "Bearer second") response.writeHead(401).end();
    else stream(response).write(frame("c1", comment(1)));
  });
  const heard = new Heard();
  const tokens = ["first", "second"];
  open(t, server.url, { token: async () => tokens.shift() }).subscribe("comments:42", heard.add);
  await heard.until(1);
  assert.equal(server.requests.length, 2);

  const closed = new Heard();
  const page = open(t, server.url, { token: () => "bad", onState: (s) => s === "closed" && closed.add(s) });
  page.subscribe("comments:42", () => {});
  await closed.until(1);
  assert.equal(server.requests.length, 4);
});

test("before a token expires the stream is opened anew with the next", limit, async (t) => {
  let token = "t1";
  const server = await gateway(t, ({ response }, number) => {
    token = "t2";
    stream(response).write(frame(`c${number}`, comment(number)));
    if (number === 1) response.write(frame("c1", {}, "auth"));
  });
  const heard = new Heard();
  open(t, server.url, { token: () => token }).subscribe("comments:42", heard.add);
  await heard.until(2);
  assert.equal(server.requests[1].headers.authorization, "Bearer t2");
  assert.equal(server.requests[1].query.get("last_event_id"), "c1");
});

test("a token that stays the same is no reason to open it anew", limit, async (t) => {
  const server = await gateway(t, ({ response }) => {
    stream(response).write(frame("c1", {}, "auth") + frame("c2", comment(1)));
  });
  const heard = new Heard();
  let asked = 0;
  const page = open(t, server.url, { token: () => (asked++, "same") });
  page.subscribe("comments:42", heard.add);
  await heard.until(1);
  while (asked < 2) await new Promise((done) => setImmediate(done));
  page.subscribe("likes:42", heard.add); // the next request there is
  const { channels } = await server.request(2);
  assert.deepEqual(channels, ["comments:42", "likes:42"]);
});

test("subscriptions of one turn are one connection; a later one joins at the cursor", limit, async (t) => {
  const server = await gateway(t, ({ response }, number) =>
    stream(response).write(frame(`c${number}`, comment(number))),
  );
  const heard = new Heard();
  const page = open(t, server.url, { from: "last:5" });
  page.subscribe("comments:42", heard.add);
  page.subscribe("likes:42", heard.add);
  await heard.until(1);
  const off = page.subscribe("score:7", heard.add);
  await heard.until(2);
  off();
  const [first, second, third] = [await server.request(1), await server.request(2), await server.request(3)];
  assert.deepEqual(first.channels, ["comments:42", "likes:42"]);
  assert.deepEqual(second.channels, ["comments:42", "likes:42", "score:7"]);
  assert.equal(second.query.get("last_event_id"), "c1");
  assert.deepEqual(third.channels, ["comments:42", "likes:42"]);
});

test("a state is told at once to whoever subscribes later", limit, async (t) => {
  const likes = { channel: "likes:42", kind: "counter", total: 9, delta: 1 };
  const server = await gateway(t, ({ response }) => stream(response).write(frame("c1", likes)));
  const [early, late] = [new Heard(), new Heard()];
  const page = open(t, server.url);
  page.subscribe("likes:42", early.add);
  await early.until(1);
  page.subscribe("likes:42", late.add);
  assert.equal((await late.until(1))[0].total, 9);
  assert.equal(server.requests.length, 1);
});

test("data that is not JSON is reported, and the rest goes on", limit, async (t) => {
  const server = await gateway(t, ({ response }) =>
    stream(response).write("id: c1\ndata: {oh\n\n" + frame("c2", comment(2))),
  );
  const [heard, errors] = [new Heard(), new Heard()];
  open(t, server.url, { onError: errors.add }).subscribe("comments:42", heard.add);
  assert.deepEqual(offsets(await heard.until(1)), [2]);
  assert.ok(errors[0] instanceof SyntaxError);
});

test("letters cut between two packets are whole", limit, async (t) => {
  const server = await gateway(t, async ({ response }) => {
    stream(response);
    const bytes = Buffer.from(frame("c1", { ...comment(1), data: "één 🛫" }));
    for (const byte of bytes) {
      response.write(Buffer.of(byte));
      await new Promise((done) => setImmediate(done));
    }
  });
  const heard = new Heard();
  open(t, server.url).subscribe("comments:42", heard.add);
  assert.equal((await heard.until(1))[0].data, "één 🛫");
});

test("closed, it asks for nothing more", limit, async (t) => {
  const server = await gateway(t, ({ response }) => stream(response).end(frame("c1", comment(1))));
  const heard = new Heard();
  const states = new Heard();
  const page = open(t, server.url, { onState: states.add });
  page.subscribe("comments:42", heard.add);
  await heard.until(1);
  page.close();
  page.subscribe("comments:42", heard.add);
  await new Promise((done) => setTimeout(done, 1500)); // longer than any first wait
  assert.equal(server.requests.length, 1);
  assert.equal(states.at(-1), "closed");
});
