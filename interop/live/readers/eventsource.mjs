// npm's `eventsource`, which reconnects by itself: prints a JSON line for all it hears.
// Usage: eventsource.mjs URL [LAST_EVENT_ID]
import { EventSource } from "eventsource";

const [url, last] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const options = last
  ? { fetch: (at, init) => fetch(at, { ...init, headers: { "Last-Event-ID": last, ...init.headers } }) }
  : {};
const source = new EventSource(url, options);
for (const type of ["message", "resumed", "reset", "cursor", "auth", "drain"]) {
  source.addEventListener(type, ({ data, lastEventId }) => say({ type, data, id: lastEventId }));
}
source.addEventListener("open", () => say({ type: "open" }));
source.addEventListener("error", ({ code }) => {
  const closed = source.readyState === EventSource.CLOSED;
  say({ type: "error", status: code, closed });
  if (closed) process.exit(0);
});
