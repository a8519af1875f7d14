// npm's `eventsource-parser` on one response of `fetch`: no reconnection, but it sees `retry:`,
// comments and whatever the standard would have a browser ignore.
// Usage: eventsource_parser.mjs URL [LAST_EVENT_ID]
import { createParser } from "eventsource-parser";

const [url, last] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const response = await fetch(url, {
  headers: { accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
});
say({ type: "open", status: response.status, headers: Object.fromEntries(response.headers) });
const parser = createParser({
  onEvent: ({ event = "message", data, id }) => say({ type: event, data, id }),
  onRetry: (milliseconds) => say({ type: "retry", milliseconds }),
  onComment: (comment) => say({ type: "comment", comment }),
  onError: (error) => say({ type: "unparsable", why: error.message }),
});
const decoder = new TextDecoder("utf-8", { fatal: true });
for await (const piece of response.body) parser.feed(decoder.decode(piece, { stream: true }));
say({ type: "end" });
