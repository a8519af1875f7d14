// What must type, and what must not.
import { live, type Counted, type Happened, type LiveError, type Reset } from "mainstem-live";

const gateway = live("/live", {
  from: "last:50",
  token: async () => "secret",
  onReset: ({ reason }: Reset) => console.log(reason),
  onState: (state) => state === "open",
});

const off: () => void = gateway.subscribe("comments:42", (event: Happened<{ text: string }>) => {
  console.log(event.offset + 1, event.data.text.length);
});
gateway.subscribe(["likes:42", "likes:43"], ({ total }: Counted) => console.log(total + 1));
gateway.subscribe("score:7", (event) => {
  if (event.kind === "latest") console.log(event.data, event.snapshot);
  if (event.kind === "viewers") console.log(event.connections + event.error);
});
const { offset, duplicate } = await gateway.publish("comments:42", { text: "hi" }, { key: "k" });
console.log(offset + 1, !duplicate, gateway.cursor?.length);
await gateway.publish("comments:42", 1).catch((error: LiveError) => error.status + 1);
off();
gateway.close();

// @ts-expect-error: a token is asked for, not kept
live("/live", { token: "secret" });
// @ts-expect-error: no such reason
const wrong: Reset = { reason: "tired", channels: [] };
// @ts-expect-error: a cursor is not set
gateway.cursor = "x";
export { wrong };
