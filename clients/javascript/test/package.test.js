import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";

const here = new URL("../", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("package.json", here)));

test("what a page loads is under 6 KB", () => {
  const { size } = statSync(new URL(manifest.main, here));
  assert.ok(size < 6_000, `${size} bytes`);
});

test("nothing else is needed, and everything named is there", () => {
  assert.equal(manifest.dependencies, undefined);
  for (const path of [manifest.main, manifest.types, ...Object.values(manifest.exports["."])]) {
    assert.ok(existsSync(new URL(path, here)), path);
  }
  assert.doesNotMatch(readFileSync(new URL(manifest.main, here), "utf8"), /\bimport\b/);
});

test("what is exported is what is typed", async () => {
  const types = readFileSync(new URL(manifest.types, here), "utf8");
  const functions = [...types.matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(await import("../dist/mainstem-live.js")), functions);
});
