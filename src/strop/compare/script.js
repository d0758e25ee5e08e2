// After web/browser.js.

const CELLS = 4e6; // of the table that a diff may take
const PRINTED = 60; // flipped items on paper
const meta = JSON.parse(byId("meta").textContent);
const all = JSON.parse(byId("data").textContent);
const FIELDS = ["q", "in", "task", "kind", "sort"];
const KINDS = { "": "all items", flipped: "changed", up: "got better", down: "got worse", same: "not changed", differ: "answers that differ" };
let state = {};

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
  if (entries.current >= 0) given.set("item", all[entries.current].at.join("."));
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
  const visible = [];
  for (let at = 0; at < all.length; at++) if (passes(all[at])) visible.push(at);
  if (state.sort) visible.sort((a, b) => (state.sort === "up" ? 1 : -1) * (all[b].change - all[a].change) || a - b);
  let up = 0, down = 0;
  for (const at of visible) { up += all[at].change > 0; down += all[at].change < 0; }
  byId("count").textContent = `${number(visible.length)} of ${number(all.length)} items · ${number(up)} better · ${number(down)} worse`;
  entries.show(visible);
}

// ---- the list

const taskOf = (one) => meta[one.in].tasks[one.task];
const valueText = (one, value) =>
  value === null || value === undefined ? "\u2013" : taskOf(one).unit === "rate" ? `${(100 * value).toFixed(value % 1 ? 1 : 0)} %` : value.toFixed(3);
const outcomes = (one) =>
  one.sides.map((side, at) => (side.verdict ? shown(side.verdict).replaceAll("_", " ") : valueText(one, one.values[at]))).join(" \u2192 ");

function change(one) {
  if (one.change === 0) return element("span", "", "same");
  return element("span", one.change > 0 ? "up" : "down", one.change > 0 ? "\u25b2 better" : "\u25bc worse");
}

const entries = entryList(
  (at) => [element("div", "name", all[at].name), element("div", "facts", change(all[at]), ` \u00b7 ${outcomes(all[at])}`)],
  (at) => {
    byId("shown").replaceChildren(...(at < 0 ? [element("p", "none", "Nothing chosen.")] : item(all[at])));
    byId("shown").scrollTop = 0;
    writeAddress();
  },
  "No item passes these filters.",
);

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
    for (const [piece, marked] of pieces) appendHits(marked ? text.appendChild(element(at ? "ins" : "del", "")) : text, shown(piece), state.q);
    made.append(text);
  }
  if (side.detail) made.append(element("p", "detail", shown(String(side.detail))));
  return made;
}

function item(one) {
  const pieces = diff(one.sides[0].answer ?? "", one.sides[1].answer ?? "");
  const what = element("p", "what", `${one.task} \u00b7 ${taskOf(one).metric} \u00b7 `, change(one), ` \u00b7 ${outcomes(one)}`);
  const made = [element("h3", "", one.name), what];
  if (one.prompt) made.push(element("p", "bar", element("b", "", "prompt")), appendHits(element("pre", ""), shown(one.prompt).trim(), state.q));
  made.push(element("div", "sides", answer(one, 0, pieces[0]), answer(one, 1, pieces[1])));
  return made;
}

// ---- controls

onFields(FIELDS, () => {
  for (const name of FIELDS) state[name] = byId(name).value;
  filter();
});
addEventListener("hashchange", () => { const at = readAddress(); if (at >= 0) entries.current = at; filter(); });
addEventListener("beforeprint", () => {
  const flipped = entries.visible.filter((at) => all[at].change !== 0 && all[at].sides[0].answer !== undefined);
  const rest = flipped.length > PRINTED ? [element("p", "small", `${number(flipped.length - PRINTED)} more changed and are not printed.`)] : [];
  byId("printed").replaceChildren(element("h2", "", "Items that changed"), ...flipped.slice(0, PRINTED).map((at) => element("article", "", ...item(all[at]))), ...rest);
});

// ---- the start

meta.forEach((one, at) => byId("in").append(option(String(at), `${one.second} against ${one.first}`)));
byId("ins").hidden = meta.length < 2;
for (const task of new Set(meta.flatMap((one) => Object.keys(one.tasks)))) byId("task").append(option(task, task));
for (const [value, text] of Object.entries(KINDS)) byId("kind").append(option(value, text));
const start = readAddress();
if (start >= 0) entries.current = start;
else if (!location.hash && all.some((one) => one.change !== 0)) {
  byId("kind").value = state.kind = "flipped";
  entries.current = all.findIndex((one) => one.change !== 0 && one.sides[0].answer !== undefined);
}
filter();
