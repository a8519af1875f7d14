/** Live channels of a Mainstem gateway. One `live(…)` per page is enough. */

/** Where a first connection starts; a time is ISO 8601 or milliseconds since the epoch. */
export type From = "earliest" | "latest" | `last:${number}` | (string & {});

/** `waiting`: for the next attempt. `paused`: nobody looks at any of the browser's pages. */
export type State = "connecting" | "open" | "waiting" | "paused" | "closed";

interface Recorded<Kind extends string, Data> {
  channel: string;
  kind: Kind;
  partition: number;
  offset: number;
  /** Milliseconds since the epoch, as the log has it. */
  time: number;
  data: Data;
}

/** One record of the log, in order. Bytes that are not UTF-8 come as `{base64}`. */
export type Happened<Data = unknown> = Recorded<"events", Data>;

/** The newest value; `data` is null where it was deleted. `snapshot`: state, not news. */
export type Latest<Data = unknown> = Recorded<"latest", Data | null> & { snapshot?: boolean };

/** `total` is absolute: a missed one corrupts nothing. */
export interface Counted {
  channel: string;
  kind: "counter";
  total: number;
  delta: number;
}

export interface Sampled {
  channel: string;
  kind: "sample";
  top: { value: unknown; weight: number }[];
  count: number;
}

/** `error` is the relative standard error of `users`; 0 where they were counted exactly. */
export interface Viewers {
  channel: string;
  kind: "viewers";
  connections: number;
  users: number;
  error: number;
}

export interface Presence {
  channel: string;
  kind: "presence";
  joined?: string[];
  left?: string[];
  users?: string[];
  count: number;
  snapshot?: boolean;
}

export type LiveEvent<Data = unknown> =
  | Happened<Data>
  | Latest<Data>
  | Counted
  | Sampled
  | Viewers
  | Presence;

/** Something that was asked for is not there any more; what follows starts anew. */
export interface Reset {
  reason: "expired" | "epoch" | "truncated" | "lagged" | "invalid";
  channels: string[];
  requested?: unknown;
  earliest?: unknown;
  latest?: unknown;
}

export interface Options {
  /** Where to start without a cursor. Default: the gateway's, which is now. */
  from?: From;
  /** Where an earlier one for the same channels was: its `cursor`. */
  cursor?: string;
  /** Asked at each attempt, and before expiry; sent as `Authorization: Bearer`. */
  token?: () => string | Promise<string>;
  /** Asked at each attempt for a one-use ticket, for where no header can be sent. */
  ticket?: () => string | Promise<string>;
  /** As of `fetch`; "include" sends cookies across origins. */
  credentials?: RequestCredentials;
  /**
   * One connection for all pages of the browser that say the same here. Default true.
   * Give the user's id where pages of several users may be open at once; false: one per page.
   */
  share?: boolean | string;
  /** "eventsource": the browser's own, which sends no token. Default: "fetch". */
  transport?: "fetch" | "eventsource";
  /** Milliseconds out of sight before the connection is put down. Default 30,000. */
  pauseAfter?: number;
  /** Milliseconds without a byte after which a connection is given up. Default 45,000. */
  silence?: number;
  onReset?(reset: Reset): void;
  onState?(state: State): void;
  onError?(error: Error): void;
}

export interface Published {
  channel: string;
  partition: number;
  offset: number;
  time: number;
  /** The same key was published before: this is where it was appended then. */
  duplicate: boolean;
}

/** The gateway refused; `message` is its own sentence. */
export interface LiveError extends Error {
  readonly status: number;
  readonly code?: number | string;
  /** Trying again as it was would not help. */
  readonly final: boolean;
}

export interface Live {
  /**
   * The place reached; inside a handler it includes the event just told. It survives a reload if
   * you keep it beside what you show, and give it to the next `live(…)` as its `cursor`.
   */
  readonly cursor: string | undefined;

  /**
   * Calls `handler` with each event of the channels, in order, once. A channel that has a state
   * (a count, a newest value) tells it at once. Subscriptions made in one turn of the event loop
   * are one connection; a later one joins it where it is. Returns the function that unsubscribes.
   */
  subscribe<Event extends LiveEvent = LiveEvent>(
    channels: string | readonly string[],
    handler: (event: Event) => void,
  ): () => void;

  /**
   * Appends JSON to the log; resolves when it is there. Tries again, with the same idempotency
   * key, where the answer was lost; rejects with `LiveError` or the network's error.
   */
  publish(channel: string, data: unknown, options?: { key?: string }): Promise<Published>;

  /** Ends everything; it cannot be opened again. */
  close(): void;
}

/** Connects with the first subscription. `url` is the gateway's `/live`. */
export function live(url: string | URL, options?: Options): Live;
