"use strict";
// Text from the data reaches the page as text nodes alone, never as HTML.

const ROW = 60; // px, as in the style sheet
const CHUNK = 4000; // tokens drawn at once
const byId = (id) => document.getElementById(id);
const meta = JSON.parse(byId("meta").textContent);
const all = JSON.parse(byId("data").textContent);
const number = new Intl.NumberFormat("en").format;
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "none");
const plural = (n, one) => `${number(n)} ${one}${n === 1 ? "" : "s"}`;

// ---- what is chosen, which also stands in the address: #q=…&kind=…&role=…&part=…&sort=…&dim=1&borders=1&i=…&t=…

const FIELDS = ["q", "sort", "role", "part", "kind"];
const BOXES = ["dim", "borders"];
let state = {};
let visible = []; // positions in `all` that pass the filters, in order
let current = -1; // position in `all` of the conversation shown
let pinned = -1; // the token that was clicked or gone to by key

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  state = Object.fromEntries(FIELDS.map((name) => [name, given.get(name) || ""]));
  if (given.get("warn") === "1" && !state.kind) state.kind = "*";
  for (const name of BOXES) state[name] = given.get(name) === "1";
  for (const name of FIELDS) byId(name).value = state[name];
  for (const name of FIELDS) state[name] = byId(name).value; // a choice that does not exist is none
  for (const name of BOXES) byId(name).checked = state[name];
  pinned = Number(given.get("t") ?? -1);
  const row = given.get("i");
  return row === null ? -1 : all.findIndex((one) => one.index === Number(row));
}

function writeAddress() {
  const given = new URLSearchParams();
  for (const name of FIELDS) if (state[name]) given.set(name, state[name]);
  for (const name of BOXES) if (state[name]) given.set(name, "1");
  if (current >= 0) given.set("i", all[current].index);
  if (pinned >= 0) given.set("t", pinned);
  history.replaceState(null, "", "#" + given);
}

function passes(one) {
  if (state.kind === "*" && !one.warnings.length) return false;
  if (state.kind && state.kind !== "*" && !one.warnings.some(([kind]) => kind === state.kind)) return false;
  if (state.role && !one.roles.includes(state.role)) return false;
  if (state.part && one.part !== Number(state.part)) return false;
  const q = state.q.toLowerCase();
  return !q || one.text.toLowerCase().includes(q) || one.place.toLowerCase().includes(q);
}

const ORDERS = {
  longest: (a, b) => all[b].ids.length - all[a].ids.length,
  least: (a, b) => all[a].trained / (all[a].ids.length || 1) - all[b].trained / (all[b].ids.length || 1),
};

function filter() {
  visible = all.map((_, at) => at).filter((at) => passes(all[at]));
  if (ORDERS[state.sort]) visible.sort(ORDERS[state.sort]);
  const sum = (measure) => visible.reduce((total, at) => total + measure(all[at]), 0);
  const tokens = sum((one) => one.ids.length);
  const trained = sum((one) => one.trained);
  const warned = sum((one) => (one.warnings.length ? 1 : 0));
  const shown = visible.length === all.length ? number(all.length) : `${number(visible.length)} of ${number(all.length)}`;
  byId("count").textContent =
    `${shown} ${all.length === 1 ? "conversation" : "conversations"} · ${number(tokens)} tokens · ${number(trained)} trained (${percent(trained, tokens)}) · ` +
    `${number(warned)} with warnings`;
  byId("rows").style.height = `${visible.length * ROW}px`;
  byId("list").scrollTop = 0;
  select(visible.includes(current) ? current : (visible[0] ?? -1));
}

// ---- the list: only the rows in sight are in the document

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function firstWords(one) {
  const at = one.segments.findIndex(([, , role]) => role === "user");
  const from = at < 0 ? 0 : one.segments[at][0];
  const to = at >= 0 && at + 1 < one.segments.length ? one.segments[at + 1][0] : from + 200;
  return shownText(one.text.slice(from, Math.min(to, from + 200)).replace(/\s+/g, " "));
}

function listRow(place) {
  const one = all[visible[place]];
  const row = element("div", "row");
  row.id = `row-${visible[place]}`;
  row.style.top = `${place * ROW}px`;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", String(visible[place] === current));
  row.setAttribute("aria-posinset", place + 1);
  row.setAttribute("aria-setsize", visible.length);
  row.dataset.at = visible[place];
  row.append(element("div", "say", firstWords(one) || "(empty)"));
  const facts = element("div", "facts1", `${one.index} · ${plural(one.ids.length, "token")}, ${percent(one.trained, one.ids.length)} trained`);
  if (one.warnings.length) {
    const kinds = [...new Set(one.warnings.map(([kind]) => kind.replaceAll("_", " ")))].join(", ");
    facts.append(" · ", element("span", "flag", kinds));
  }
  row.append(facts);
  return row;
}

function drawList() {
  const list = byId("list"), rows = byId("rows");
  if (!visible.length) {
    rows.replaceChildren(element("p", "none", "No conversation passes these filters."));
    return;
  }
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const last = Math.min(visible.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
  const made = [];
  for (let place = first; place < last; place++) made.push(listRow(place));
  rows.replaceChildren(...made);
  list.setAttribute("aria-activedescendant", current >= 0 ? `row-${current}` : "");
}

function select(at, reveal = true) {
  const changed = at !== current;
  if (changed && current >= 0) pinned = -1;
  current = at;
  const place = visible.indexOf(at), list = byId("list");
  if (reveal && place >= 0) {
    const top = place * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }
  drawList();
  show(changed);
  writeAddress();
}

// ---- one conversation

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?! )\p{Zs}/gu;
const codePoint = (character) => "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

function shownText(text) {
  return text.replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    return code < 32 ? String.fromCodePoint(0x2400 + code) : code === 127 ? "\u2421" : `\u2039${codePoint(character)}\u203a`;
  });
}

function appendText(parent, text) {
  let at = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > at) parent.append(text.slice(at, found.index));
    const character = found[0];
    at = found.index + character.length;
    if (character === "\n") parent.append(element("i", "mark", "\u21b5"), "\n");
    else if (character === "\t") parent.append(element("i", "mark", "\u21e5"), "\t");
    else if (character.codePointAt(0) < 32 || character === "\x7f") parent.append(element("i", "mark", shownText(character)));
    else parent.append(element("i", "mark code", codePoint(character)));
  }
  if (at < text.length) parent.append(text.slice(at));
}

function opened(one) {
  if (one.starts) return one;
  let at = 0;
  one.starts = one.steps.map((step) => (at += step));
  one.ends = one.starts.map((start, index) => start + one.lengths[index]);
  one.perToken = one.weights.flatMap(([count, weight]) => Array(count).fill(weight));
  one.isStop = new Set(one.stops);
  return one;
}

function hits(text) {
  const q = state.q.toLowerCase(), lower = text.toLowerCase(), found = [];
  if (!q || lower.length !== text.length) return found; // lower case of a few letters is longer: no marks then
  for (let at = lower.indexOf(q); at >= 0; at = lower.indexOf(q, at + q.length)) found.push([at, at + q.length]);
  return found;
}

const fieldName = (role, field) => (meta.fields[field] ? `${role} · ${meta.fields[field]}` : role);
let drawn = 0; // tokens of the current conversation in the document

function show(changed) {
  const text = byId("text");
  text.classList.toggle("dimmed", state.dim);
  text.classList.toggle("borders", state.borders);
  if (current < 0) {
    byId("place").textContent = "Nothing chosen";
    for (const id of ["counts", "warnings", "text"]) byId(id).replaceChildren();
    byId("more").hidden = true;
    return;
  }
  const one = opened(all[current]);
  byId("place").textContent = one.place;
  const weights = [...new Set(one.perToken.filter((weight) => weight > 0))].sort((a, b) => a - b);
  const weighted = weights.length && (weights.length > 1 || weights[0] !== 1) ? ` · weights ${weights[0]} to ${weights.at(-1)}` : "";
  byId("counts").textContent =
    `row ${one.index}${meta.parts.length > 1 ? ` of ${meta.parts[one.part]}` : ""} · ${plural(one.ids.length, "token")} · ` +
    `${number(one.trained)} trained (${percent(one.trained, one.ids.length)}) · ${plural(one.turns, "turn")}${weighted}`;
  byId("warnings").replaceChildren(
    ...one.warnings.map(([kind, message, detail]) => {
      const item = element("li");
      item.append(element("b", "", kind.replaceAll("_", " ")), message === null ? ": " : ` (message ${message}): `, shownText(detail));
      return item;
    }),
  );
  drawn = 0;
  text.replaceChildren();
  if (changed) text.scrollTop = 0;
  drawTokens();
  here(tokenAt(pinned));
}

// Draws the next tokens. The text is cut where a token, a segment or a search hit begins or ends.
function drawTokens() {
  const one = all[current], { starts, ends, segments } = one;
  const first = drawn, last = Math.min(starts.length, first + CHUNK);
  const from = first ? Math.max(ends[first - 1], starts[first]) : 0;
  const to = last < starts.length ? Math.max(ends[last - 1], starts[last]) : one.text.length;
  const found = hits(one.text);
  const borders = new Set([from, to]);
  const add = (at) => at > from && at < to && borders.add(at);
  for (let index = first; index < last; index++) { add(starts[index]); add(ends[index]); }
  segments.forEach(([start]) => add(start));
  found.flat().forEach(add);
  const order = [...borders].sort((a, b) => a - b);
  const fragment = document.createDocumentFragment();
  let token = first, segment = 0, hit = 0, span = null, who = first ? lastWho : "";
  const open = (index) => {
    const weight = one.perToken[index] ?? 0;
    span = element("span", "t");
    span.dataset.token = index;
    if (index >= one.ids.length) span.classList.add("gone");
    if (weight > 0) span.classList.add("on");
    if (weight > 0 && weight !== 1) span.style.setProperty("--strength", `${Math.round(100 * Math.min(1, Math.max(0.25, weight)))}%`);
    if (one.isStop.has(index)) span.classList.add("stop");
    fragment.append(span);
  };
  for (let border = 0; border + 1 < order.length; border++) {
    const [start, end] = [order[border], order[border + 1]];
    while (segment + 1 < segments.length && segments[segment + 1][0] <= start) segment++;
    while (hit < found.length && found[hit][1] <= start) hit++;
    const [, message, role, field] = segments[segment];
    const begins = token < last && starts[token] <= start;
    const goesOn = !begins && span && start < ends[Number(span.dataset.token)];
    if (role !== null && `${message} ${field}` !== who) {
      who = `${message} ${field}`;
      const chip = element("b", `who r-${role}`, message < 0 ? role : `${message} ${fieldName(role, field)}`);
      (goesOn ? span : fragment).append(chip);
    }
    let parent = goesOn ? span : fragment;
    if (begins) {
      open(token++);
      // Bytes of one character may be tokens of their own: they have nothing to show but are there.
      while (token < last && starts[token] === start && ends[token] <= end) {
        const whole = span;
        open(token++);
        span.append(element("i", "mark", "+"));
        span = whole;
      }
      parent = span;
    }
    const piece = element("span", role === null ? "" : `r-${role}`);
    appendText(piece, one.text.slice(start, end));
    if (hit < found.length && found[hit][0] <= start) piece.classList.add("hit");
    parent.append(piece);
  }
  lastWho = who;
  byId("text").append(fragment);
  drawn = last;
  const rest = starts.length - drawn;
  byId("more").hidden = rest <= 0;
  byId("more").textContent = `Show the next ${number(Math.min(rest, CHUNK))} of ${number(rest)} more tokens`;
}
let lastWho = "";

// ---- one token

function here(span) {
  byId("text").querySelector(".here")?.classList.remove("here");
  const line = byId("token");
  if (!span) {
    line.textContent = "Point at a token, or go there with the arrow keys, to see what it is.";
    return;
  }
  span.classList.add("here");
  const one = all[current], index = Number(span.dataset.token), start = one.starts[index], end = one.ends[index];
  const segment = one.segments.findLast(([from]) => from <= start);
  const owner = segment[2] === null ? "template" : segment[1] < 0 ? segment[2] : `message ${segment[1]}, ${fieldName(segment[2], segment[3])}`;
  const weight = one.perToken[index];
  const fate = weight === undefined ? "cut off by max_length" : weight > 0 ? `trained, weight ${weight}` : "not trained";
  line.replaceChildren(
    element("code", "", shownText(one.text.slice(start, end).replaceAll("\n", "\u21b5"))),
    ` token ${index} · id ${one.ids[index] ?? "none"} · ${fate}${one.isStop.has(index) ? " · stop token" : ""} · ${owner} · characters ${start} to ${end}`,
  );
}

function pin(span) {
  pinned = span ? Number(span.dataset.token) : -1;
  here(span);
  writeAddress();
}

const tokenAt = (index) => byId("text").querySelector(`[data-token="${index}"]`);

byId("text").addEventListener("mouseover", (event) => here(event.target.closest(".t")));
byId("text").addEventListener("mouseleave", () => here(tokenAt(pinned)));
byId("text").addEventListener("click", (event) => pin(event.target.closest(".t")));
byId("text").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || current < 0) return;
  event.preventDefault();
  const now = byId("text").querySelector(".here");
  const index = now ? Number(now.dataset.token) + step : 0;
  if (index >= drawn && drawn < all[current].starts.length) drawTokens();
  const next = tokenAt(index);
  if (next) {
    pin(next);
    next.scrollIntoView({ block: "nearest" });
  }
});
byId("more").addEventListener("click", drawTokens);

// ---- controls

let wait = 0;
byId("q").addEventListener("input", () => {
  clearTimeout(wait);
  wait = setTimeout(change, 150);
});
function change() {
  for (const name of FIELDS) state[name] = byId(name).value;
  for (const name of BOXES) state[name] = byId(name).checked;
  filter();
}
for (const name of [...FIELDS.slice(1), ...BOXES]) byId(name).addEventListener("change", change);
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
  const place = Math.min(visible.length - 1, Math.max(0, visible.indexOf(current) + steps[event.key]));
  select(visible[place]);
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  byId("q").focus();
});
addEventListener("hashchange", () => {
  const row = readAddress();
  if (row >= 0) current = row;
  filter();
});

// ---- the start

const count = (values) => [...values.reduce((sum, value) => sum.set(value, (sum.get(value) || 0) + 1), new Map())].sort();
const option = (value, text) => Object.assign(element("option", "", text), { value });
for (const [kind, times] of count(all.flatMap((one) => [...new Set(one.warnings.map(([name]) => name))])))
  byId("kind").append(option(kind, `${kind.replaceAll("_", " ")} (${number(times)})`));
for (const [role, times] of count(all.flatMap((one) => one.roles))) byId("role").append(option(role, `${role} (${number(times)})`));
meta.parts.forEach((name, part) => byId("part").append(option(String(part), name)));
byId("parts").hidden = meta.parts.length < 2;
const start = readAddress();
if (start >= 0) current = start;
filter();
