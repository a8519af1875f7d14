// The page of `mainstem demo`. All it shows came over one stream of server-sent events; what it
// says goes back by POST, and is shown when it returns from the log.
import { live } from "./mainstem-live.js";

const AIRPORTS = { JFK: "John F. Kennedy", LGA: "LaGuardia", EWR: "Newark" };
const STATES = {
  connecting: "connecting",
  open: "live",
  waiting: "connection lost, trying again",
  paused: "paused while out of sight",
  closed: "closed: reload to try again",
};
const KEPT = 200;
const number = new Intl.NumberFormat("en");
const byId = (id) => document.getElementById(id);

// What a reload goes on with: the comments shown, and the place in the log they go up to.
const saved = JSON.parse(sessionStorage.saved ?? "null");
const comments = saved?.comments ?? [];
const stream = live("/live", {
  cursor: saved?.cursor,
  from: "last:50",
  share: false, // each tab is one who watches
  pauseAfter: 300_000, // the demo ends when nobody does
  onState(state) {
    byId("state").textContent = STATES[state];
    byId("state").dataset.state = state;
  },
  onReset() {
    // What is shown is of a log that is not there any more.
    comments.length = 0;
    byId("comments").replaceChildren();
  },
});
addEventListener("pagehide", () => {
  sessionStorage.saved = JSON.stringify({ cursor: stream.cursor, comments });
});

/** Restarts a CSS animation. */
function again(element) {
  element.classList.remove("new");
  void element.offsetWidth;
  element.classList.add("new");
}

// The boards.
const boards = {};
for (const [airport, name] of Object.entries(AIRPORTS)) {
  const article = byId("board").content.cloneNode(true).firstElementChild;
  article.id = airport;
  article.querySelector("h2").textContent = airport;
  article.querySelector("header p").textContent = name;
  article.querySelector("caption").textContent = `Departures from ${name}`;
  byId("boards").append(article);
  boards[airport] = article;
}

const of = (channel) => boards[channel.split(":")[1]];

const said = ({ status, late, time }) => {
  if (status === "delayed") return `delayed ${time}`;
  if (status === "departed") return late > 0 ? `gone +${late}` : "gone";
  return status;
};

function row({ scheduled, to, flight, ...how }, old) {
  const line = document.createElement("tr");
  line.dataset.flight = flight;
  for (const text of [scheduled, to, flight, said(how)]) {
    const cell = line.insertCell();
    cell.textContent = cell.title = text;
  }
  line.cells[3].dataset.is = how.status;
  if (!old) line.className = "new";
  else if (old.cells[3].textContent !== line.cells[3].textContent) line.cells[3].className = "new";
  return line;
}

function showBoard({ channel, data }) {
  if (!data) return;
  const body = of(channel).querySelector("tbody");
  const old = new Map([...body.rows].map((line) => [line.dataset.flight, line]));
  body.replaceChildren(...data.rows.map((each) => row(each, old.get(each.flight))));
  byId("clock").textContent = data.clock;
  byId("clock").dateTime = data.clock;
  byId("day").textContent = data.day;
}

function showDelay({ channel, total, delta }) {
  const place = of(channel).querySelector(".late");
  place.querySelector("strong").textContent = number.format(total);
  if (!delta) return;
  place.querySelector("i").textContent = `+${number.format(delta)}`;
  again(place.querySelector("i"));
}

function showYear({ channel, data }) {
  if (!data) return;
  const { departures, cancelled, delay } = data;
  const average = (delay / Math.max(departures - cancelled, 1)).toFixed(1);
  of(channel).querySelector(".year").textContent =
    `2013: ${number.format(departures)} flights · ${number.format(cancelled)} cancelled · ` +
    `${average} min late`;
}

for (const airport of Object.keys(AIRPORTS)) {
  stream.subscribe(`board:${airport}`, showBoard);
  stream.subscribe(`delay:${airport}`, showDelay);
  stream.subscribe(`score:${airport}`, showYear);
}

// Comments.
const seat = (localStorage.seat ??=
  Math.ceil(Math.random() * 39) + "ABCDEF"[Math.floor(Math.random() * 6)]);
byId("seat").textContent = seat;

function showComment({ data, time }) {
  const [list, log] = [byId("comments"), byId("log")];
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const item = document.createElement("li");
  const head = document.createElement("small");
  const who = document.createElement("b");
  who.textContent = data?.seat ?? "someone";
  const at = new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  head.append(who, ` · ${at}`);
  item.append(head, String(data?.text ?? data));
  list.append(item);
  while (list.children.length > KEPT) list.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

comments.forEach(showComment);
stream.subscribe("comments:nyc", ({ data, time }) => {
  comments.push({ data, time });
  comments.splice(0, comments.length - KEPT);
  showComment({ data, time });
});

/** Publishes; what goes wrong is said beside the form. */
async function publish(channel, data) {
  try {
    await stream.publish(channel, data);
    byId("problem").textContent = "";
    return true;
  } catch (error) {
    byId("problem").textContent = `That did not arrive: ${error.message}.`;
    return false;
  }
}

byId("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  if (!(await publish("comments:nyc", { seat, text }))) byId("text").value = text;
});

// Likes and viewers.
byId("like").addEventListener("click", () => {
  const heart = document.createElement("span");
  heart.className = "float";
  heart.textContent = "♥";
  heart.ariaHidden = "true";
  heart.style.setProperty("--drift", `${Math.round(Math.random() * 40 - 20)}px`);
  heart.addEventListener("animationend", () => heart.remove());
  setTimeout(() => heart.remove(), 1500); // where nothing moves, no animation ends
  byId("like").append(heart);
  publish("likes:nyc", { n: 1 });
});
stream.subscribe("likes:nyc", ({ total, delta }) => {
  byId("likes").textContent = number.format(total);
  if (delta) again(document.querySelector(".heart"));
});
stream.subscribe("viewers:nyc", ({ connections }) => {
  byId("viewers").textContent = number.format(connections);
});
