// After web/browser.js: evaluated items, each with the answers of every side (an evaluation, or a model).

async function browseItems() {
  const CELLS = 4e6; // of the table that a diff may take
  const PRINTED = 12; // items on paper
  const ENDS = { stop: "by itself", length: "cut off (length)", prompt_too_long: "no answer: prompt too long", scored: "options were scored" };
  const KINDS = { "": "all items", flipped: "changed", up: "got better", down: "got worse", same: "not changed", differ: "answers that differ" };

  const root = byId("items");
  const meta = JSON.parse(byId("items-meta").textContent);
  const said = (text) => { root.querySelector(".count").textContent = text; };
  said("reading the items \u2026");
  const all = await unpacked(byId("items-index"));
  const last = meta.sides.length - 1;
  const words = (text) => shown(String(text)).replaceAll("_", " ");
  const state = { sample: 0 };

  // ---- which items

  const taskOf = (one) => meta.tasks[one.task];
  const pair = () => [...new Set([Number(state.a), Number(state.b)])];

  // Above 0 where it got better; null where it is not known on both sides.
  function change(one) {
    const [before, after] = [one.values[state.a], one.values[state.b]];
    return before == null || after == null ? null : (taskOf(one).better || 1) * (after - before);
  }

  const answers = (one, side) => (one.texts.sides[side] ?? []).map((sample) => sample.answer);
  const TESTS = {
    flipped: (one) => !!change(one),
    up: (one) => change(one) > 0,
    down: (one) => change(one) < 0,
    same: (one) => change(one) === 0,
    differ: (one) => one.sides[state.a] && one.sides[state.b] && answers(one, state.a).join("\0") !== answers(one, state.b).join("\0"),
  };

  function passes(one, query) {
    if (state.task && one.task !== state.task) return false;
    if (!pair().some((side) => one.sides[side])) return false;
    if (state.kind && !TESTS[state.kind](one)) return false;
    if (state.verdict || state.finish) {
      const fits = (answer) => (!state.verdict || answer.verdict === state.verdict) && (!state.finish || answer.finish_reason === state.finish);
      if (!(state.of === "" ? pair() : [state.of]).some((side) => one.sides[side]?.some(fits))) return false;
    }
    return !query || one.text.includes(query);
  }

  // Prompts and answers come part by part after the list is there; a search waits for all of them.
  const parts = [...document.querySelectorAll(".items-texts")];
  let read = 0;
  const everything = (async () => {
    for (const part of parts) {
      for (const texts of await unpacked(part)) {
        const one = all[read++];
        one.texts = texts;
        // One string per item, so that a search through thousands is instant.
        one.text = [one.name, texts.prompt, ...texts.sides.flatMap((_, side) => answers(one, side))].join("\n").toLowerCase();
        if (read - 1 === entries?.current) entries.select(read - 1, false);
      }
      part.remove();
    }
  })();

  let turn = 0;
  async function filter() {
    const mine = ++turn;
    if ((state.q || state.kind === "differ") && read < all.length) {
      said("reading the answers \u2026");
      await everything;
      if (mine !== turn) return;
    }
    const query = state.q.toLowerCase(), visible = [];
    for (let at = 0; at < all.length; at++) if (passes(all[at], query)) visible.push(at);
    if (state.sort) visible.sort((x, y) => (state.sort === "up" ? 1 : -1) * ((change(all[y]) ?? 0) - (change(all[x]) ?? 0)) || x - y);
    let up = 0, down = 0;
    for (const at of visible) { up += change(all[at]) > 0; down += change(all[at]) < 0; }
    said(`${number(visible.length)} of ${plural(all.length, "item")}${last ? ` \u00b7 ${number(up)} better \u00b7 ${number(down)} worse` : ""}`);
    entries.show(visible);
  }

  // ---- the list

  const valueText = (one, value) =>
    value == null ? "\u2013" : taskOf(one).unit === "rate" ? `${(100 * value).toFixed(value % 1 ? 1 : 0)} %` : value.toFixed(3);
  const outcome = (one, side) => {
    const verdicts = new Set((one.sides[side] ?? []).map((answer) => answer.verdict ?? ""));
    const [only] = verdicts;
    return verdicts.size === 1 && only ? words(only) : one.sides[side] ? valueText(one, one.values[side]) : "not measured";
  };
  const outcomes = (one) => pair().map((side) => outcome(one, side)).join(" \u2192 ");

  function changed(one) {
    const size = change(one);
    if (size === null) return element("span", "", "not in both");
    if (size === 0) return element("span", "", "same");
    return element("span", size > 0 ? "up" : "down", size > 0 ? "\u25b2 better" : "\u25bc worse");
  }

  const question = (one) => shown(one.says ?? "").replaceAll(/\s+/g, " ").trim();
  const entries = entryList(
    root,
    (at) => {
      const one = all[at], facts = element("div", "facts", ...(last ? [changed(one), " \u00b7 "] : []), outcomes(one));
      return [element("div", "name", element("b", "", shown(one.name)), ` ${question(one)}`), facts];
    },
    (at) => item(all[at]),
    "No item passes these filters.",
  );

  // ---- a diff by words (by lines where that would take long): longest common subsequence

  const tokens = (text, byLine) => text.match(byLine ? /[^\n]*\n|[^\n]+/g : /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];

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

  function answer(one, side, sample, texts, pieces) {
    const second = side === Number(state.b) && last > 0;
    const facts = sample
      ? [
          sample.verdict && words(sample.verdict),
          (one.sides[side].length > 1 || !sample.verdict) && `${taskOf(one).metric} ${valueText(one, one.values[side])}`,
          sample.total > 1 && `${sample.passed ?? 0} of ${plural(sample.total, "test")}`,
          sample.tokens && plural(sample.tokens, "token"),
          sample.finish_reason && sample.finish_reason !== "stop" && (ENDS[sample.finish_reason] ?? words(sample.finish_reason)),
          ...Object.entries(sample.parts ?? {}).map(([name, value]) => `${words(name)} ${Number(value.toFixed(3))}`),
        ].filter(Boolean)
      : ["not measured, or another item under this name"];
    const chip = sample?.verdict ? [element("i", `dot v-${meta.looks[sample.verdict] ?? "other"}`), " "] : [];
    const made = element("div", "", element("p", "bar", element("b", second ? "second" : "first", meta.sides[side]), ...chip, facts.join(" \u00b7 ")));
    if (texts?.answer !== undefined) {
      const text = element("pre", "");
      text.tabIndex = 0;
      if (!texts.answer) text.append("(empty answer)");
      for (const [piece, marked] of pieces) appendHits(marked ? text.appendChild(element(second ? "ins" : "del", "")) : text, shown(piece), state.q);
      made.append(text);
    }
    if (sample?.cut) made.append(element("p", "detail", `\u2026 and ${plural(sample.cut, "more character")}, which are in the file alone.`));
    if (texts?.detail) made.append(element("p", "detail", shown(texts.detail)));
    if (texts?.stderr_tail) made.append(element("pre", "stderr", shown(texts.stderr_tail)));
    return made;
  }

  // Which of several answers to the item is shown.
  function chooser(one, most) {
    const choose = element("select", "");
    for (let at = 0; at < most; at++) {
      const verdicts = pair().map((side) => one.sides[side]?.[at]?.verdict).filter(Boolean).map(words);
      choose.append(option(String(at), [`${at + 1} of ${most}`, verdicts.join(" \u2192 ")].filter(Boolean).join(": ")));
    }
    choose.value = String(state.sample);
    choose.addEventListener("change", () => { state.sample = Number(choose.value); entries.select(entries.current, false); });
    return element("label", "pick", "answer ", choose);
  }

  function item(one) {
    if (!one.texts) return [element("p", "none", "reading \u2026")];
    const sides = pair(), most = Math.max(...sides.map((side) => one.sides[side]?.length ?? 0));
    if (state.sample >= most) state.sample = 0;
    const samples = sides.map((side) => one.sides[side]?.[state.sample]);
    const texts = sides.map((side) => one.texts.sides[side]?.[state.sample]);
    const bodies = texts.map((text) => text?.answer ?? "");
    const compared = bodies.length > 1 && texts.every((text) => text?.answer !== undefined);
    const pieces = compared ? diff(...bodies) : bodies.map((body) => [[body, false]]);
    const what = element("p", "what", `${words(one.task)} \u00b7 ${words(taskOf(one).metric)}`);
    if (last) what.append(" \u00b7 ", changed(one), ` \u00b7 ${outcomes(one)}`);
    const made = [element("h3", "", shown(one.name)), what];
    if (most > 1) made.push(element("p", "what", chooser(one, most)));
    if (one.texts.prompt) {
      const text = appendHits(element("pre", "prompt"), shown(one.texts.prompt).trim(), state.q);
      text.tabIndex = 0;
      made.push(element("p", "bar", element("b", "", "prompt")), text);
    }
    made.push(element("div", samples.length > 1 ? "sides" : "sides one", ...sides.map((side, at) => answer(one, side, samples[at], texts[at], pieces[at]))));
    return made;
  }

  // ---- controls, and what is chosen, which also stands in the address

  const fields = onFields(root, () => { readFields(); filter(); writeAddress(); });
  const FIELDS = ["q", "a", "b", "task", "kind", "verdict", "finish", "of", "sort"];
  const readFields = () => { for (const name of FIELDS) state[name] = fields[name].value; };

  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of FIELDS)
      if (given.has(name) && (name === "q" || [...fields[name].options].some((one) => one.value === given.get(name)))) fields[name].value = given.get(name);
    readFields();
    return given;
  }

  function writeAddress() {
    const given = new URLSearchParams();
    for (const name of FIELDS) if (state[name] !== initial[name]) given.set(name, state[name]);
    if (entries.current >= 0) given.set("item", entries.current);
    history.replaceState(null, "", "#" + given);
  }

  function counted(name, label, values) {
    const counts = new Map();
    for (const value of values) if (value) counts.set(value, (counts.get(value) ?? 0) + 1);
    for (const [value, times] of counts) fields[name].append(option(value, `${label(value)} (${number(times)})`));
    fields[name].parentElement.hidden = counts.size < 2;
  }

  const samples = all.flatMap((one) => one.sides.flat()).filter(Boolean);
  for (const name of ["a", "b", "of"]) meta.sides.forEach((side, at) => fields[name].append(option(String(at), side)));
  for (const name of ["a", "b"]) fields[name].parentElement.hidden = last < 2;
  for (const name of ["kind", "sort", "of"]) fields[name].parentElement.hidden = last < 1;
  for (const [value, text] of Object.entries(KINDS)) fields.kind.append(option(value, text));
  counted("task", words, all.map((one) => one.task));
  counted("verdict", words, samples.map((one) => one.verdict));
  counted("finish", (end) => ENDS[end] ?? words(end), samples.map((one) => one.finish_reason));
  fields.a.value = "0";
  fields.b.value = String(last);
  if (fields.verdict.parentElement.hidden && fields.finish.parentElement.hidden) fields.of.parentElement.hidden = true;
  readFields();
  const changedOnes = all.filter(TESTS.flipped);
  if (changedOnes.length) fields.kind.value = "flipped";
  readFields();
  const initial = { ...state };
  const given = readAddress();
  entries.current = given.has("item") ? Number(given.get("item")) : all.indexOf(changedOnes.find((one) => one.says) ?? changedOnes[0]);
  for (const way of ["click", "keydown"]) root.querySelector(".list").addEventListener(way, writeAddress);
  addEventListener("hashchange", () => { const at = readAddress().get("item"); if (at) entries.current = Number(at); filter(); });
  printed(root, entries, "item", PRINTED, (at) => item(all[at]));
  await filter();
  await everything;
}

if (byId("items"))
  browseItems().catch((error) => { byId("items").querySelector(".count").textContent = `The items cannot be shown in this browser (${error.message}); a newer one is needed.`; });
