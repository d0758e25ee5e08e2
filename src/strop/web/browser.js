"use strict";
// What pages share that let one browse many entries: a list of which only the rows in sight are in the document.
// Text from models and data reaches the page as text nodes alone, never as HTML.

const ROW = 56; // px, as in browser.css
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en").format;
const plural = (n, one) => `${number(n)} ${one}${n === 1 ? "" : "s"}`;

function element(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside);
  return made;
}

const option = (value, text) => Object.assign(element("option", "", text), { value });

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
function shown(text) {
  return text.replaceAll("\r\n", "\n").replace(HIDDEN, (character) => {
    const code = character.codePointAt(0);
    if (code === 10 || code === 9 || code === 0x200c || code === 0x200d) return character;
    return code < 32 ? String.fromCodePoint(0x2400 + code) : `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
  });
}

// What strop.web.packed made: base64 of compressed JSON.
async function unpacked(script) {
  const text = atob(script.textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Append text with what was searched for marked.
function appendHits(parent, text, query) {
  const q = query.toLowerCase(), lower = text.toLowerCase();
  let at = 0;
  if (q && lower.length === text.length)
    for (let hit = lower.indexOf(q); hit >= 0; hit = lower.indexOf(q, at)) {
      parent.append(text.slice(at, hit), element("mark", "", text.slice(hit, hit + q.length)));
      at = hit + q.length;
    }
  parent.append(text.slice(at));
  return parent;
}

// The list in `root` (browser.html): `inside(at)` is what a row holds, `choose(at)` makes what is shown of the chosen
// entry (-1: none).
function entryList(root, inside, choose, none) {
  const list = root.querySelector(".list"), rows = root.querySelector(".rows"), pane = root.querySelector(".shown");
  const entries = { visible: [], current: -1, show, select };

  function row(place) {
    const at = entries.visible[place], made = element("div", "row", ...inside(at));
    made.id = `${root.id}-${at}`;
    made.style.top = `${place * ROW}px`;
    made.dataset.at = at;
    for (const [name, value] of [["role", "option"], ["aria-selected", at === entries.current], ["aria-posinset", place + 1], ["aria-setsize", entries.visible.length]])
      made.setAttribute(name, value);
    return made;
  }

  function draw() {
    if (!entries.visible.length) return rows.replaceChildren(element("p", "none", none));
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
    const last = Math.min(entries.visible.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
    rows.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, more) => row(first + more)));
    list.setAttribute("aria-activedescendant", entries.current >= 0 ? `${root.id}-${entries.current}` : "");
  }

  // Show other entries; the current one stays where it is among them.
  function show(visible) {
    entries.visible = visible;
    rows.style.height = `${visible.length * ROW}px`;
    list.scrollTop = 0;
    select(visible.includes(entries.current) ? entries.current : (visible[0] ?? -1));
  }

  function select(at, reveal = true) {
    entries.current = at;
    const place = entries.visible.indexOf(at);
    if (reveal && place >= 0) {
      const top = place * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    draw();
    pane.replaceChildren(...(at < 0 ? [element("p", "none", "Nothing chosen.")] : choose(at)));
    pane.scrollTop = 0;
  }

  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  addEventListener("resize", draw);
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) select(Number(row.dataset.at), false);
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const { visible, current } = entries;
    if (!(event.key in steps) || !visible.length) return;
    event.preventDefault();
    select(visible[Math.min(visible.length - 1, Math.max(0, visible.indexOf(current) + steps[event.key]))]);
  });
  return entries;
}

// `changed` is called when a field of the form in `root` is; of q, the search, a moment after typing. "/" goes to it.
function onFields(root, changed) {
  const form = root.querySelector("form"), { q } = form.elements;
  let wait = 0;
  q.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(changed, 120); });
  form.addEventListener("change", (event) => { if (event.target !== q) changed(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    const { top, bottom } = root.getBoundingClientRect();
    const elsewhere = bottom < 0 || top > innerHeight;
    if (event.key !== "/" || event.defaultPrevented || elsewhere || event.target.matches("input, select")) return;
    event.preventDefault();
    q.focus();
  });
  return form.elements;
}

// On paper stand the first `most` of the entries that pass the filters, each made by `inside(at)`.
function printed(root, entries, what, most, inside) {
  addEventListener("beforeprint", () => {
    const first = entries.visible.slice(0, most);
    const said = `${number(first.length)} of ${plural(entries.visible.length, what)} that pass the filters are printed.`;
    root.querySelector(".printed").replaceChildren(element("p", "small", said), ...first.map((at) => element("article", "", ...inside(at))));
  });
}
