import { parser } from "./parser.js";

const STREAM = "text/event-stream";
const TYPES = "message resumed reset cursor auth".split(" ");

/** What was answered instead of a stream, as an error in the gateway's own words. */
export async function refusal(response) {
  const { status } = response;
  const { error, code } = await response.json().catch(() => ({}));
  return Object.assign(new Error(error ?? `HTTP ${status}`), {
    status,
    code,
    // Trying again as it was would not help: 204 and 4xx, but for "late" and "too many".
    final: /204|4(?!08|29)../.test(status),
  });
}

/** Milliseconds before the next try after so many that failed: full jitter, up to a minute. */
export const jitter = (failures) => Math.random() * Math.min(60_000, 1_000 * 2 ** failures);

/**
 * One stream, kept up from `start_()` to `stop_()`. `address()` and `headers(more)` are asked at each
 * attempt, `receive(blocks)` takes what came, `tell(state)` hears how it is, `failed(error)` what
 * went wrong, and may make it less final.
 *
 * Without a byte for `silence` milliseconds it is dead: the gateway's heart beats every 15 s.
 */
export function connection(options, address, headers, receive, tell, failed) {
  const { credentials, transport, silence = 45_000 } = options;
  let current; // the AbortController of what is going on
  let timer; // of the next attempt where there is none now, else of silence
  let failures = 0;
  let retry = 0;

  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    current?.abort();
    current = undefined;
  };

  const start = async () => {
    stop();
    const run = (current = new AbortController());
    let failure;
    failures++;
    tell("connecting");
    try {
      await (globalThis.ReadableStream && transport !== "eventsource" ? streamed : native)(run);
    } catch (error) {
      failure = error;
    }
    if (run !== current) return; // stopped or started again meanwhile
    stop();
    if (failure) failed(failure);
    if (failure?.final) return tell("closed");
    tell("waiting");
    timer = setTimeout(start, retry + jitter(failures));
  };

  const take = (blocks) => {
    failures = 0;
    receive(blocks);
  };

  async function streamed(run) {
    const { signal } = run;
    const alive = () => {
      if (run !== current) return;
      clearTimeout(timer);
      timer = setTimeout(() => run.abort(), silence);
    };
    alive();
    const asked = await headers({ accept: STREAM });
    const url = await address();
    const response = await fetch(url, { headers: asked, credentials, signal });
    const kind = `${response.headers.get("content-type")}`;
    if (response.status !== 200 || !kind.startsWith(STREAM)) throw await refusal(response);
    tell("open");
    const blocks = [];
    const feed = parser(
      (block) => blocks.push(block),
      (milliseconds) => (retry = milliseconds),
    );
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let piece; !(piece = await reader.read()).done; alive()) {
      feed(decoder.decode(piece.value, { stream: true }));
      if (blocks.length && run === current) take(blocks.splice(0));
    }
  }

  /** The browser's own EventSource, for where a fetch cannot be read as it comes. */
  async function native(run) {
    const url = await address();
    if (run !== current) return;
    const source = new EventSource(url, { withCredentials: credentials === "include" });
    await new Promise((done) => {
      for (const type of TYPES) {
        source.addEventListener(type, ({ data, lastEventId: id }) => take([{ type, data, id }]));
      }
      source.onopen = () => tell("open");
      source.onerror = done; // the wait is ours: it grows, and a 503 does not end it
      run.signal.onabort = done;
    });
    source.close();
  }

  return { start_: start, stop_: stop, hurry_: () => timer && !current && start() };
}
