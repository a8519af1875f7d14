// The rules of the HTML Standard, 9.2.6; the cases of the web platform tests' eventsource/format-*.
import assert from "node:assert/strict";
import { test } from "node:test";

import { parser } from "../src/parser.js";

function read(...pieces) {
  const blocks = [];
  const retries = [];
  const feed = parser(
    (block) => blocks.push(block),
    (milliseconds) => retries.push(milliseconds),
  );
  for (const piece of pieces) feed(piece);
  return { blocks, retries, data: blocks.map(({ data }) => data) };
}

test("a block is dispatched at its blank line, and not before", () => {
  assert.deepEqual(read("data: a\n").blocks, []);
  assert.deepEqual(read("data: a\n\n").blocks, [{ type: "message", data: "a", id: undefined }]);
});

test("lines end with LF, CR or CRLF, mixed", () => {
  assert.deepEqual(read("data: a\r\ndata: b\rdata: c\n\r\n").data, ["a\nb\nc"]);
});

test("a CRLF cut between two pieces is one line end", () => {
  assert.deepEqual(read("data: a\r", "\n\r", "\ndata: b\r", "\r").data, ["a", "b"]);
  assert.deepEqual(read("data: a\r", "\ndata: b\n\n").data, ["a\nb"]);
});

test("any cut of a stream gives the same blocks", () => {
  const text = ': hi\r\nretry: 4000\r\nevent: x\rid: 1\ndata:{"a":\ndata: 1}\n\n\r\nid: 2\n\ndata\n\n';
  const whole = read(text);
  for (let first = 0; first <= text.length; first++) {
    for (let second = first; second <= text.length; second++) {
      const cut = read(text.slice(0, first), text.slice(first, second), text.slice(second));
      assert.deepEqual(cut, whole, `cut at ${first} and ${second}`);
    }
  }
  assert.deepEqual(whole.blocks, [
    { type: "x", data: '{"a":\n1}', id: "1" },
    { type: "", data: "", id: "1" },
    { type: "", data: "", id: "2" },
    { type: "message", data: "", id: "2" },
  ]);
});

test("one space after the colon is not part of the value", () => {
  assert.deepEqual(read("data:a\n\n", "data: a\n\n", "data:  a\n\n", "data:\ta\n\n").data, [
    "a",
    "a",
    " a",
    "\ta",
  ]);
});

test("comments, unknown fields and odd names are nothing", () => {
  assert.deepEqual(read(":data: a\nfoo: b\nDATA: c\n data: d\ndata : e\n\n").blocks, []);
});

test("an id lasts until the next, and one with NUL is none", () => {
  const { blocks } = read("id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n");
  assert.deepEqual(
    blocks.map(({ id }) => id),
    ["1", "1", "1", ""],
  );
});

test("an id alone moves the cursor, an event alone is nothing", () => {
  assert.deepEqual(read("id: 7\n\n").blocks, [{ type: "", data: "", id: "7" }]);
  assert.deepEqual(read("event: x\n\ndata: a\n\n").blocks, [
    { type: "message", data: "a", id: undefined },
  ]);
});

test("only digits are a retry", () => {
  const said = read("retry: 3000\nretry: 3e3\nretry:\nretry: -1\nretry: 0x1\nretry:5\n\n");
  assert.deepEqual(said.retries, [3000, 5]);
});
