/** How much of the past the leader keeps for pages that join it, in blocks. */
const KEPT = 4096;
/** How long a new leader listens for who followed the last one, in milliseconds. */
const GATHER = 60;
/** How long a page waits for the leader's answer: it may be asleep, as on a phone. */
const ANSWER = 2_000;
/** Longer than the gateway's heart takes between two beats. */
const SILENCE = 45_000;

/** What a page is. */
const JOINING = 0;
const ALONE = 1;
const FOLLOWING = 2;
const LEADING = 3;

/** What they say to each other: a page to its leader, */
const JOIN = 4;
/** a leader to one page: here is your past, or: it is not known; */
const PAST = 5;
const UNKNOWN = 6;
/** and to all of them. */
const LEADER = 7;
const NEWS = 8;

/**
 * One connection for all pages of a browser. Whoever holds the Web Lock leads: it connects for the
 * channels of all and passes on what comes over a BroadcastChannel. When it goes, the next in the
 * queue takes over at the cursor that all of them know.
 *
 * A page that joins is given its past from the leader's memory where that is *exact*; where it is
 * not, it keeps a connection of its own ("alone") until a later leader can. Never a silent hole.
 *
 * Of the page: `wants()` → {channels_, from_, cursor_, visible_}, `states()` → the newest block of
 * each channel that has a state, `take(blocks)`, `tell(state)`, `connect({channels_, visible_})`:
 * a connection of its own for these (none: closes it). Ends with `life`, an AbortController.
 */
export function share(name, life, wants, states, take, tell, connect) {
  const tab = Math.random().toString(36);
  const pipe = new BroadcastChannel(name);
  const say = (is_, more) => pipe.postMessage({ is_, tab_: tab, ...more });
  let role = JOINING;
  let patience;
  // The leader's:
  const members = new Map(); // tab → what it wants
  let begun; // channel → the `from` it was opened with
  let gathering = false;
  let past; // blocks; the first has no id as long as it is the stream's beginning
  let state;

  const over = new Promise((done) => life.signal.addEventListener("abort", done));
  over.then(() => {
    clearTimeout(patience);
    pipe.close();
  });

  // An AbortController has a `signal`, and is all that options of a lock need to have.
  const lock = (of, held) => navigator.locks.request(of, life, held).catch(() => {});
  const hold = (of, held) =>
    lock(of, () => {
      held();
      return over;
    });

  /** Asks again where a follower hears nothing; goes its own way where nobody answers. */
  const wait = (milliseconds, then) => {
    clearTimeout(patience);
    patience = setTimeout(then, milliseconds);
  };

  const alone = () => {
    clearTimeout(patience);
    role = ALONE;
    connect(wants());
  };

  /** The page's channels or its visibility are not what they were. */
  const changed = () => {
    if (role === LEADING) {
      members.set(tab, wants());
      return refresh();
    }
    if (role === ALONE) alone();
    say(JOIN, { wants_: wants() });
    wait(ANSWER, alone);
  };

  /** Connects for the channels of all members; pauses where none of them is looked at. */
  const refresh = () => {
    if (gathering) return;
    const all = [...members.values()];
    const channels = [...new Set(all.flatMap(({ channels_ }) => channels_))].sort();
    begun = new Map(channels.map((channel) => [channel, begun.get(channel)]));
    connect({ channels_: channels, visible_: all.some(({ visible_ }) => visible_) });
  };

  const lead = () => {
    clearTimeout(patience);
    const { channels_, from_, cursor_ } = wants();
    gathering = role === FOLLOWING;
    role = LEADING;
    begun = new Map(channels_.map((channel) => [channel, cursor_ ? 0 : from_]));
    past = [{ id: cursor_ }];
    say(LEADER);
    setTimeout(
      () => {
        gathering = false;
        changed();
      },
      gathering ? GATHER : 0,
    );
  };

  /** What a page that wants this has missed; undefined if that is not known for sure. */
  const missed = ({ channels_, from_, cursor_ }) => {
    const at = cursor_ ? past.findLastIndex(({ id }) => id === cursor_) : 0;
    const here = cursor_ ? at === past.length - 1 : !from_ || from_ === "latest";
    const whole =
      at >= 0 &&
      (cursor_ || !past[0].id) &&
      channels_.every((each) => (cursor_ ? begun.has(each) : begun.get(each) === from_));
    return here ? states() : whole && [...states(), ...past.slice(at + 1)];
  };

  const forget = (who) => members.delete(who) && refresh();

  const welcome = (who, wanted) => {
    const known = members.has(who);
    const blocks_ = known ? [] : missed(wanted);
    if (!blocks_) return say(UNKNOWN, { to_: who });
    members.set(who, wanted);
    say(PAST, { to_: who, blocks_, state_: state });
    refresh();
    if (!known) lock(name + who, () => forget(who)); // granted when that page is gone
  };

  pipe.onmessage = ({ data: { is_, tab_, to_ = tab, wants_, blocks_, state_ } }) => {
    if (to_ !== tab) return;
    if (role === LEADING) {
      if (is_ === JOIN) welcome(tab_, wants_);
      return;
    }
    if (is_ === LEADER) changed();
    if (is_ === UNKNOWN) alone();
    if (is_ === PAST) {
      if (role === ALONE) connect({});
      role = FOLLOWING;
    }
    if (role !== FOLLOWING) return;
    if (blocks_) {
      wait(SILENCE, changed);
      take(blocks_);
    }
    if (state_) tell(state_);
  };

  // The first lock is held as long as this page lives.
  hold(name + tab, () => {
    changed();
    hold(name, lead);
  });

  return {
    changed_: changed,
    /** What the page's own connection brought. */
    pass_: (blocks_) => {
      if (role !== LEADING) return;
      say(NEWS, { blocks_ });
      for (const block of blocks_) {
        // States are told to whoever joins; of them only the place is worth remembering.
        const kept = block.body?.kind === "events" || block.type === "reset";
        past.push(kept ? block : { id: block.id });
      }
      past = past.slice(-KEPT);
    },
    /** How the page's own connection is. */
    tell_: (state_) => {
      state = state_;
      if (role === LEADING) say(NEWS, { state_ });
    },
  };
}
