import { connection, jitter, refusal } from "./connection.js";
import { share } from "./share.js";

const TRIES = 5;

/** Live channels of a Mainstem gateway; the contract is in `mainstem-live.d.ts`. */
export function live(url, options = {}) {
  let { cursor, from, token, ticket, credentials, onReset, onState, onError } = options;
  const { pauseAfter = 30_000, share: group = true } = options;
  const { document, navigator, location } = globalThis;
  const base = new URL(url, location?.href).href;
  const handlers = new Map(); // channel → Set of functions
  const newest = new Map(); // channel → newest block
  const life = new AbortController(); // has a `signal`: all that options of a listener must have
  let open = []; // the channels that the connection is for
  let shared;
  let paused;
  let hiding;
  let due;
  let closed;
  let refused;
  let bearer; // what the stream was opened with

  const tell = (state) => onState?.(state);

  const headers = async (more) =>
    token ? { ...more, authorization: `Bearer ${await token()}` } : more;

  const address = async () => {
    const query = open.map((channel) => ["channel", channel]);
    // In the query, where it needs no preflight, as it would in a header.
    if (cursor) query.push(["last_event_id", cursor]);
    else if (from) query.push(["from", from]);
    if (ticket) query.push(["ticket", await ticket()]);
    return `${base}?${new URLSearchParams(query)}`;
  };

  /** A refused token is asked for anew, once. */
  const failed = (error) => {
    refused = !refused && error.status === 401 && token;
    if (refused) error.final = false;
    else onError?.(error);
  };

  const receive = (blocks) => {
    refused = false;
    const read = [];
    for (const { type, data, id } of blocks) {
      try {
        read.push({ type, id, body: type && JSON.parse(data) });
      } catch (error) {
        onError?.(error);
      }
    }
    shared?.pass_(read);
    take(read);
    if (token && read.some(({ type }) => type === "auth")) headers().then(renew);
  };

  /** The token is about to expire: anew, but only with another one. */
  const renew = ({ authorization }) => authorization === bearer || closed || stream.start_();

  const stream = connection(
    options,
    address,
    async (more) => {
      const asked = await headers(more);
      bearer = asked.authorization;
      return asked;
    },
    receive,
    (state) => {
      shared?.tell_(state);
      tell(state);
    },
    failed,
  );

  const take = (blocks) => {
    for (const block of blocks) {
      const { type, id, body } = block;
      if (id) cursor = id;
      if (type === "reset") {
        newest.clear();
        onReset?.(body);
      }
      // What has no offset is absolute: always news.
      if (type !== "message" || body.offset <= newest.get(body.channel)?.body.offset) continue;
      newest.set(body.channel, block);
      for (const handler of handlers.get(body.channel) ?? []) give(handler, body);
    }
  };

  const states = () => [...newest.values()].filter(({ body }) => body.kind !== "events");

  /** What one handler throws is reported, and no concern of the others. */
  const give = (handler, body) => {
    try {
      if (handlers.get(body.channel)?.has(handler)) handler(body);
    } catch (error) {
      Promise.reject(error);
    }
  };

  /** Makes the connection one for these channels, at the place reached. */
  const connect = ({ channels_ = [], visible_ = true }) => {
    clearTimeout(hiding);
    if (!visible_ && !paused && pauseAfter < Infinity) hiding = setTimeout(pause, pauseAfter);
    const same = !(paused && visible_) && channels_.join(" ") === open.join(" ");
    if (visible_) paused = false;
    if (same) return;
    open = closed ? [] : channels_;
    if (!open.length) return stream.stop_();
    for (const channel of newest.keys()) {
      if (!open.includes(channel)) newest.delete(channel);
    }
    if (!paused) stream.start_();
  };

  const pause = () => {
    paused = true;
    stream.stop_();
    shared?.tell_("paused");
    tell("paused");
  };

  const wants = () => ({
    channels_: [...handlers.keys()].sort(),
    from_: from,
    cursor_: cursor,
    visible_: !document?.hidden,
  });

  /** Subscriptions made in one turn of the loop are one connection. */
  const changed = () => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      if (closed) return;
      if (shared) return shared.changed_();
      if (!group || !navigator?.locks) return connect(wants());
      const name = `live 1 ${base} ${group}`;
      shared = share(name, life, wants, states, take, tell, connect);
    });
  };

  document?.addEventListener("visibilitychange", changed, life);
  globalThis.addEventListener?.("online", stream.hurry_, life);

  return {
    subscribe(channels, handler) {
      const all = [channels].flat();
      for (const channel of all) {
        if (!handlers.has(channel)) handlers.set(channel, new Set());
        handlers.get(channel).add(handler);
        const state = newest.get(channel)?.body;
        if (state && state.kind !== "events") queueMicrotask(() => give(handler, state));
      }
      changed();
      return () => {
        for (const channel of all) {
          handlers.get(channel)?.delete(handler);
          if (!handlers.get(channel)?.size) handlers.delete(channel);
        }
        changed();
      };
    },

    async publish(channel, data, { key } = {}) {
      const once = key ?? `${Math.random()}${Math.random()}`;
      const full = `${base}/${encodeURIComponent(channel)}`;
      for (let failures = 0; ; failures++) {
        let failure;
        try {
          const response = await fetch(full, {
            method: "POST",
            headers: await headers({ "content-type": "application/json", "idempotency-key": once }),
            body: JSON.stringify(data),
            credentials,
          });
          if (response.ok) return await response.json();
          failure = await refusal(response);
        } catch (error) {
          failure = error; // the network's: whether it was appended is not known, hence the key
        }
        if (failure.final || failures === TRIES - 1 || closed) throw failure;
        await new Promise((done) => setTimeout(done, jitter(failures)));
      }
    },

    close() {
      closed = true;
      life.abort();
      connect({});
      handlers.clear();
      tell("closed");
    },
    get cursor() {
      return cursor;
    },
  };
}
