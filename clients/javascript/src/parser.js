/**
 * A parser of `text/event-stream` without I/O (HTML Standard, 9.2.6): decoded text in, blocks out.
 *
 * `onBlock({type, data, id})` is called once per block; `type` is "" for one without `data:`, which
 * a browser takes in silently: it may have moved the cursor. Before the first `id:` that is nothing.
 * `onRetry(milliseconds)` is called for each valid `retry:`.
 */
export function parser(onBlock, onRetry) {
  let rest = "";
  let afterReturn = false; // the last piece ended in CR: an LF that follows belongs to it
  let data = "";
  let type = "";
  let id;

  function dispatch() {
    if (data) onBlock({ type: type || "message", data: data.slice(0, -1), id });
    else if (id !== undefined) onBlock({ type: "", data, id });
    data = type = "";
  }

  function field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") data += value + "\n";
    else if (name === "event") type = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) onRetry(+value);
  }

  return (text) => {
    if (!text) return;
    if (afterReturn && text[0] === "\n") text = text.slice(1);
    afterReturn = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|\r|\n/);
    rest = lines.pop();
    for (const line of lines) line ? field(line) : dispatch(); // ":" at 0 is a comment: no name
  };
}
