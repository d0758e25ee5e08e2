"use strict";
// Text from models and data reaches the page as text nodes alone, never as HTML.

const ROW = 56; // px, as in the style sheet
const CELLS = 4e6; // of the table that a diff may take
const PRINTED = 60; // flipped items on paper
const byId = (id) => document.getElementById(id);
const meta = JSON.parse(byId("meta").textContent);
const all = JSON.parse(byId("data").textContent);
const number = new Intl.NumberFormat("en").format;
const FIELDS = ["q", "in", "task", "kind", "sort"];
const KINDS = { "": "all items", flipped: "changed", up: "got better", down: "got worse", same: "not changed", differ: "answers that differ" };
let state = {}, visible = [], current = -1;

for (const one of all) {
  // Looked for in one string per item, so that a search through thousands is instant.
  one.text = [one.name, one.prompt, ...one.sides.map((side) => side.answer ?? "")].join("\n").toLowerCase();
}

// ---- what is chosen, which also stands in the address

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) if (given.get(name) !== null) byId(name).value = given.get(name);
  for (const name of FIELDS) {
    if (byId(name).value === "" && byId(name).options?.length) byId(name).selectedIndex = Math.max(0, byId(name).selectedIndex);
    state[name] = byId(name).value;
  }
  return given.get("item") === null ? -1 : all.findIndex((one) => one.at.join(".") === given.get("item"));
}

function writeAddress() {
  const given = new URLSearchParams();
  for (const name of FIELDS) if (state[name] && !(name === "in" && state[name] === "0")) given.set(name, state[name]);
  if (current >= 0) given.set("item", all[current].at.join("."));
  history.replaceState(null, "", "#" + given);
}

const TESTS = {
  flipped: (one) => one.change !== 0,
  up: (one) => one.change > 0,
  down: (one) => one.change < 0,
  same: (one) => one.change === 0,
  differ: (one) => one.sides[0].answer !== one.sides[1].answer,
};

function passes(one) {
  return (
    one.in === Number(state.in) &&
    (!state.task || one.task === state.task) &&
    (!TESTS[state.kind] || TESTS[state.kind](one)) &&
    (!state.q || one.text.includes(state.q.toLowerCase()))
  );
}

function filter() {
  visible = [];
  for (let at = 0; at < all.length; at++) if (passes(all[at])) visible.push(at);
  if (state.sort) visible.sort((a, b) => (state.sort === "up" ? 1 : -1) * (all[b].change - all[a].change) || a - b);
  let up = 0, down = 0;
  for (const at of visible) { up += all[at].change > 0; down += all[at].change < 0; }
  byId("count").textContent = `${number(visible.length)} of ${number(all.length)} items · ${number(up)} better · ${number(down)} worse`;
  byId("rows").style.height = `${visible.length * ROW}px`;
  byId("list").scrollTop = 0;
  select(visible.includes(current) ? current : (visible[0] ?? -1));
}

// ---- the list: only the rows in sight are in the document

function element(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
function shown(text) {
  return text.replaceAll("\r\n", "\n").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code === 10 || code === 9 || code === 0x200c || code === 0x200d) return character;
    return code < 32 ? String.fromCodePoint(0x2400 + code) : `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
  });
}

const taskOf = (one) => meta[one.in].tasks[one.task];
const valueText = (one, value) =>
  value === null || value === undefined ? "\u2013" : taskOf(one).unit === "rate" ? `${(100 * value).toFixed(value % 1 ? 1 : 0)} %` : value.toFixed(3);
const outcomes = (one) =>
  one.sides.map((side, at) => (side.verdict ? shown(side.verdict).replaceAll("_", " ") : valueText(one, one.values[at]))).join(" \u2192 ");

function change(one) {
  if (one.change === 0) return element("span", "", "same");
  return element("span", one.change > 0 ? "up" : "down", one.change > 0 ? "\u25b2 better" : "\u25bc worse");
}

function listRow(place) {
  const at = visible[place], one = all[at];
  const row = element("div", "row", element("div", "name", one.name), element("div", "facts", change(one), ` \u00b7 ${outcomes(one)}`));
  row.id = `row-${at}`;
  row.style.top = `${place * ROW}px`;
  row.dataset.at = at;
  for (const [name, value] of [["role", "option"], ["aria-selected", at === current], ["aria-posinset", place + 1], ["aria-setsize", visible.length]])
    row.setAttribute(name, value);
  return row;
}

function drawList() {
  const list = byId("list");
  if (!visible.length) return byId("rows").replaceChildren(element("p", "none", "No item passes these filters."));
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const last = Math.min(visible.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
  byId("rows").replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, more) => listRow(first + more)));
  list.setAttribute("aria-activedescendant", current >= 0 ? `row-${current}` : "");
}

function select(at, reveal = true) {
  current = at;
  const place = visible.indexOf(at), list = byId("list");
  if (reveal && place >= 0) {
    const top = place * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }
  drawList();
  byId("shown").replaceChildren(...(at < 0 ? [element("p", "none", "Nothing chosen.")] : item(all[at])));
  byId("shown").scrollTop = 0;
  writeAddress();
}

// ---- a diff by words (by lines where that would take long): longest common subsequence

function tokens(text, byLine) {
  return text.match(byLine ? /[^\n]*\n|[^\n]+/g : /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
}

function diff(before, after) {
  for (const byLine of [false, true]) {
    const a = tokens(before, byLine), b = tokens(after, byLine);
    let start = 0, end = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
    const n = a.length - start - end, m = b.length - start - end;
    if (n * m > CELLS) continue;
    const width = m + 1, longest = new Uint32Array((n + 1) * width);
    for (let i = n - 1; i >= 0; i--)
      for (let j = m - 1; j >= 0; j--)
        longest[i * width + j] =
          a[start + i] === b[start + j]
            ? longest[(i + 1) * width + j + 1] + 1
            : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    const gone = a.map(() => false), come = b.map(() => false);
    for (let i = 0, j = 0; i < n || j < m; ) {
      if (i < n && j < m && a[start + i] === b[start + j]) { i++; j++; }
      else if (i < n && (j === m || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) gone[start + i++] = true;
      else come[start + j++] = true;
    }
    return [runs(a, gone), runs(b, come)];
  }
  return [[[before, false]], [[after, false]]];
}

function runs(pieces, marked) {
  const found = [];
  pieces.forEach((piece, at) => {
    if (found.length && found.at(-1)[1] === marked[at]) found.at(-1)[0] += piece;
    else found.push([piece, marked[at]]);
  });
  return found;
}

// ---- one item

function appendHits(parent, text) {
  const q = state.q.toLowerCase(), lower = text.toLowerCase();
  let at = 0;
  if (q && lower.length === text.length)
    for (let hit = lower.indexOf(q); hit >= 0; hit = lower.indexOf(q, at)) {
      parent.append(text.slice(at, hit), element("mark", "", text.slice(hit, hit + q.length)));
      at = hit + q.length;
    }
  parent.append(text.slice(at));
  return parent;
}

function answer(one, at, pieces) {
  const side = one.sides[at], names = [meta[one.in].first, meta[one.in].second];
  const facts = [
    side.verdict && shown(side.verdict).replaceAll("_", " "),
    valueText(one, one.values[at]),
    side.total > 1 && `${side.passed ?? "\u2013"} of ${side.total} tests`,
    side.tokens && `${number(side.tokens)} tokens`,
    side.finish_reason === "length" && "cut at the length limit",
  ];
  const bar = element("p", "bar", element("b", at ? "second" : "first", names[at]), facts.filter(Boolean).join(" \u00b7 "));
  const made = element("div", "", bar);
  if (side.answer !== undefined || side.verdict) {
    const text = element("pre", "");
    if (!pieces.length) text.append("(empty answer)");
    for (const [piece, marked] of pieces) appendHits(marked ? text.appendChild(element(at ? "ins" : "del", "")) : text, shown(piece));
    made.append(text);
  }
  if (side.detail) made.append(element("p", "detail", shown(String(side.detail))));
  return made;
}

function item(one) {
  const pieces = diff(one.sides[0].answer ?? "", one.sides[1].answer ?? "");
  const what = element("p", "what", `${one.task} \u00b7 ${taskOf(one).metric} \u00b7 `, change(one), ` \u00b7 ${outcomes(one)}`);
  const made = [element("h3", "", one.name), what];
  if (one.prompt) made.push(element("p", "bar", element("b", "", "prompt")), appendHits(element("pre", ""), shown(one.prompt).trim()));
  made.push(element("div", "sides", answer(one, 0, pieces[0]), answer(one, 1, pieces[1])));
  return made;
}

// ---- controls

let wait = 0;
byId("q").addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(changed, 120); });
function changed() {
  for (const name of FIELDS) state[name] = byId(name).value;
  filter();
}
for (const name of FIELDS.slice(1)) byId(name).addEventListener("change", changed);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("list").addEventListener("scroll", () => requestAnimationFrame(drawList));
addEventListener("resize", drawList);
byId("list").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (row) select(Number(row.dataset.at), false);
});
byId("list").addEventListener("keydown", (event) => {
  const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || !visible.length) return;
  event.preventDefault();
  select(visible[Math.min(visible.length - 1, Math.max(0, visible.indexOf(current) + steps[event.key]))]);
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  byId("q").focus();
});
addEventListener("hashchange", () => { const at = readAddress(); if (at >= 0) current = at; filter(); });
addEventListener("beforeprint", () => {
  const flipped = visible.filter((at) => all[at].change !== 0 && all[at].sides[0].answer !== undefined);
  const rest = flipped.length > PRINTED ? [element("p", "small", `${number(flipped.length - PRINTED)} more changed and are not printed.`)] : [];
  byId("printed").replaceChildren(element("h2", "", "Items that changed"), ...flipped.slice(0, PRINTED).map((at) => element("article", "", ...item(all[at]))), ...rest);
});

// ---- the start

const option = (value, text) => Object.assign(element("option", "", text), { value });
meta.forEach((one, at) => byId("in").append(option(String(at), `${one.second} against ${one.first}`)));
byId("ins").hidden = meta.length < 2;
for (const task of new Set(meta.flatMap((one) => Object.keys(one.tasks)))) byId("task").append(option(task, task));
for (const [value, text] of Object.entries(KINDS)) byId("kind").append(option(value, text));
const start = readAddress();
if (start >= 0) current = start;
else if (!location.hash && all.some((one) => one.change !== 0)) {
  byId("kind").value = state.kind = "flipped";
  current = all.findIndex((one) => one.change !== 0 && one.sides[0].answer !== undefined);
}
filter();
