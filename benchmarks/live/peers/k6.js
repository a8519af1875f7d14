// The referee of the load generator: k6 watches the same channel over WebSocket and counts.
import ws from "k6/ws";
import { Counter, Trend } from "k6/metrics";

const events = new Counter("events");
const latency = new Trend("latency");
const viewers = Number(__ENV.VIEWERS);

export const options = {
  scenarios: {
    watch: { executor: "per-vu-iterations", vus: viewers, iterations: 1, maxDuration: "10m" },
  },
  summaryTrendStats: ["p(50)", "p(90)", "p(99)"],
};

export default function () {
  ws.connect(__ENV.URL, {}, (socket) => {
    socket.on("open", () => socket.send(JSON.stringify({ subscribe: ["comments:a"] })));
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      if (message.kind === "events") {
        events.add(1);
        latency.add(Date.now() - message.data.sent / 1000);
      }
    });
    socket.setTimeout(() => socket.close(), Number(__ENV.SECONDS) * 1000);
  });
}

export function handleSummary(data) {
  return {
    stdout: JSON.stringify({
      events: data.metrics.events ? data.metrics.events.values.count : 0,
      latency: data.metrics.latency ? data.metrics.latency.values : {},
    }),
  };
}
