// A server of one's own choice of bytes, over real sockets: each request is answered by `answer`.
import { createServer } from "node:http";

/** Starts one; `requests` holds what came: {method, url, query, headers, body, response}. */
export async function gateway(t, answer) {
  const requests = [];
  const waiting = [];
  const server = createServer(async (message, response) => {
    const url = new URL(message.url, "http://gateway");
    let body = "";
    for await (const piece of message) body += piece;
    const request = {
      method: message.method,
      path: message.url.split("?")[0],
      query: url.searchParams,
      channels: url.searchParams.getAll("channel"),
      headers: message.headers,
      body,
      response,
    };
    requests.push(request);
    await answer(request, requests.length, response);
    waiting.splice(0).forEach((wake) => wake());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/live`,
    requests,
    /** Resolves with request `number`, counted from 1, once it was answered. */
    async request(number) {
      while (requests.length < number) await new Promise((done) => waiting.push(done));
      return requests[number - 1];
    },
  };
}

export const stream = (response) =>
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });

export const frame = (id, body, event) =>
  `${event ? `event: ${event}\n` : ""}id: ${id}\ndata: ${JSON.stringify(body)}\n\n`;

export const comment = (offset, channel = "comments:42") => ({
  channel,
  kind: "events",
  partition: 0,
  offset,
  time: 1000 + offset,
  data: `comment ${offset}`,
});

/** A list that can be awaited to reach a length. */
export class Heard extends Array {
  #waiting = [];

  add = (item) => {
    this.push(item);
    this.#waiting.splice(0).forEach((wake) => wake());
  };

  async until(length) {
    while (this.length < length) await new Promise((done) => this.#waiting.push(done));
    return [...this];
  }
}
