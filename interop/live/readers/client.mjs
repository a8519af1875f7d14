// Our own client on Node. Usage: client.mjs URL CHANNEL FROM
import { live } from "../../../clients/javascript/dist/mainstem-live.js";

const [url, channel, from] = process.argv.slice(2);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const gateway = live(url, {
  from,
  onState: (state) => say({ type: "state", state }),
  onReset: (reset) => say({ type: "reset", data: JSON.stringify(reset), id: gateway.cursor }),
});
gateway.subscribe(channel, (event) => {
  say({ type: "message", data: JSON.stringify(event), id: gateway.cursor });
});
