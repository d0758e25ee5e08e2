"use strict";
// What pages share that let one browse many entries: a list of which only the rows in sight are in the document.
// Text from models and data reaches the page as text nodes alone, never as HTML.

const ROW = 56; // px, as in browser.css
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en").format;

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

// The list #rows in #list: `inside(at)` is what a row holds, `choose(at)` is told of the chosen entry (-1: none).
function entryList(inside, choose, none) {
  const list = byId("list"), rows = byId("rows");
  const entries = { visible: [], current: -1, show, select };

  function row(place) {
    const at = entries.visible[place], made = element("div", "row", ...inside(at));
    made.id = `row-${at}`;
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
    list.setAttribute("aria-activedescendant", entries.current >= 0 ? `row-${entries.current}` : "");
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
    choose(at);
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

// `changed` is called when a field is; of #q, the search, a moment after typing. "/" goes to it.
function onFields(names, changed) {
  let wait = 0;
  byId("q").addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(changed, 120); });
  for (const name of names) if (name !== "q") byId(name).addEventListener("change", changed);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select")) return;
    event.preventDefault();
    byId("q").focus();
  });
}
