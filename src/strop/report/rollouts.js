// After web/browser.js.

const root = byId("prompts");
const PRINTED = 12; // prompts on paper
const batches = JSON.parse(byId("batches").textContent);
const all = JSON.parse(byId("rollouts-data").textContent);
const stages = new Set(batches.map((one) => one.stage));
const batchName = (one) => `${stages.size > 1 ? `${one.stage}, ` : ""}step ${number(one.step)}`;
const state = { q: "" };

const some = (test) => (one) => one.answers.some(test);
const known = (one) => one.answers.some((answer) => answer.right !== undefined);
const OUTCOMES = [
  ["right", "with a right answer", some((answer) => answer.right === true)],
  ["wrong", "with a wrong answer", some((answer) => answer.right === false)],
  ["never", "without a right answer", (one) => known(one) && !some((answer) => answer.right)(one)],
  ["always", "all right", (one) => known(one) && one.answers.every((answer) => answer.right)],
  ["spread", "rewards that differ", (one) => new Set(one.answers.map((answer) => answer.reward)).size > 1],
  ["failed", "a reward failed", some((answer) => answer.failures)],
].filter(([, , test]) => all.some(test));

// Advantages are coloured by their size beside the batch's largest.
const strongest = batches.map(() => 0);
for (const one of all) {
  for (const answer of one.answers)
    for (const [, advantage] of answer.runs) strongest[one.in] = Math.max(strongest[one.in], Math.abs(advantage));
  const texts = [one.name, ...one.messages.map((message) => message[1]), one.truth ?? ""];
  for (const answer of one.answers) texts.push(answer.runs.map((run) => run[0]).join(""), ...(answer.turns ?? []).map((turn) => turn[1]), ...Object.values(answer.reasons ?? {}));
  one.text = texts.join("\n").toLowerCase();
}

const decimals = (value) => (value === null || value === undefined ? "\u2013" : String(Number(value.toFixed(3))).replace("-", "\u2212"));
const signed = (value) => (value > 0 ? "+" : "") + decimals(value);

// ---- one prompt with its group

function tokens(runs, largest) {
  const text = element("pre", "sampled");
  text.tabIndex = 0;
  if (!runs.length) text.append("(empty answer)");
  for (const [piece, advantage, count] of runs) {
    const kind = advantage === null ? "put" : advantage > 0 ? "adv up" : advantage < 0 ? "adv down" : "adv";
    const run = appendHits(element("span", kind), shown(piece), state.q);
    if (advantage !== null) run.style.setProperty("--strength", `${largest ? Math.round(12 + 58 * (Math.abs(advantage) / largest)) : 0}%`);
    const told = advantage === null ? "put in by the environment, not trained" : `advantage ${signed(advantage)}`;
    run.title = `${told}, ${number(count)} ${count === 1 ? "token" : "tokens"}`;
    text.append(run);
  }
  return text;
}

// The turns of an answer: the model's with its calls, and what came back.
function turns(answer, largest) {
  if (!answer.turns) return [tokens(answer.runs, largest)];
  const made = [];
  let at = 0;
  for (const [role, text, calls, malformed, count] of answer.turns) {
    const head = element("p", count ? "bar turn" : "bar turn observed", element("b", "when", shown(role)));
    head.append(...calls.map((call) => element("code", "fact", `calls ${shown(call)}`)));
    if (malformed) head.append(element("span", "fact cut", "malformed call"));
    made.push(head, count ? tokens(answer.runs.slice(at, at + count), largest) : appendHits(element("pre", "observed"), shown(text), state.q));
    at += count;
  }
  return made;
}

function advantages(answer) {
  const values = answer.runs.map((run) => run[1]).filter((value) => value !== null);
  if (!values.length) return "";
  const low = Math.min(...values), high = Math.max(...values);
  return `advantage ${low === high ? signed(low) : `${signed(low)} to ${signed(high)}`}`;
}

function part(name, answer) {
  const why = answer.reasons?.[name];
  return element("li", "", element("b", "", shown(name)), ` ${decimals(answer.parts[name])}`, ...(why ? [element("span", "why", ` \u2013 ${shown(why)}`)] : []));
}

function card(answer, largest) {
  const facts = [`${number(answer.tokens)} ${answer.tokens === 1 ? "token" : "tokens"}`, advantages(answer)].filter(Boolean);
  const bar = element("p", "bar", element("b", "when", answer.reward === null ? "no reward" : `reward ${decimals(answer.reward)}`));
  if (answer.right !== undefined) bar.append(element("span", answer.right ? "right" : "wrong", answer.right ? "\u2713 right" : "\u2717 wrong"));
  bar.append(...facts.map((fact) => element("span", "fact", fact)));
  if (answer.cut) bar.append(element("span", "fact cut", "cut off"));
  const made = element("section", "card", bar, ...turns(answer, largest));
  const parts = Object.keys(answer.parts ?? {}).map((name) => part(name, answer));
  for (const [name, why] of Object.entries(answer.failures ?? {})) parts.push(element("li", "worse", element("b", "", shown(name)), ` failed \u2013 ${shown(why)}`));
  if (parts.length) made.append(element("ul", "parts", ...parts));
  return made;
}

// A prompt, to be scrolled by key too.
function prompted(text) {
  const made = appendHits(element("pre", ""), shown(text).trim(), state.q);
  made.tabIndex = 0;
  return made;
}

function group(one) {
  const made = [element("h3", "", element("code", "", shown(one.name)), element("span", "kind", batchName(batches[one.in])))];
  for (const [role, text] of one.messages)
    made.push(element("p", "bar", element("span", "when", shown(role))), prompted(text));
  if (one.truth !== undefined) made.push(element("p", "bar", element("span", "when", "ground truth")), prompted(one.truth));
  made.push(element("div", "answers", ...one.answers.map((answer) => card(answer, strongest[one.in]))));
  return made;
}

// ---- the list and its filters

function facts(one) {
  const rewards = one.answers.map((answer) => answer.reward).filter((reward) => reward !== null);
  const right = one.answers.filter((answer) => answer.right).length;
  const told = rewards.length ? `reward ${decimals(rewards[0])}${rewards[0] === rewards.at(-1) ? "" : ` to ${decimals(rewards.at(-1))}`}` : "no reward";
  return `${batchName(batches[one.in])} \u00b7 ${known(one) ? `${right} of ${one.answers.length} right \u00b7 ` : ""}${told}`;
}

// What a row says first is the question: the names of prompts are often numbers.
const question = (one) => shown(one.messages.at(-1)?.[1] || one.name).replaceAll(/\s+/g, " ").slice(0, 120);

const entries = entryList(
  root,
  (at) => [element("div", "name", question(all[at])), element("div", "facts", facts(all[at]))],
  (at) => group(all[at]),
  "No prompt passes these filters.",
);
const fields = onFields(root, filter);

function filter() {
  const batch = fields.batch.value, outcome = fields.outcome.value, cut = fields.cut.checked;
  state.q = fields.q.value;
  const query = state.q.toLowerCase(), test = OUTCOMES.find(([value]) => value === outcome)?.[2];
  const visible = [];
  all.forEach((one, at) => {
    if (batch !== "" && one.in !== Number(batch)) return;
    if (test && !test(one)) return;
    if (cut && !one.answers.some((answer) => answer.cut)) return;
    if (query && !one.text.includes(query)) return;
    visible.push(at);
  });
  root.querySelector(".count").textContent = `${number(visible.length)} of ${plural(all.length, "prompt")}`;
  entries.show(visible);
}

printed(root, entries, "prompt", PRINTED, (at) => group(all[at]));
fields.batch.append(option("", "all steps"), ...batches.map((one, at) => [one, at]).filter(([one]) => one.shown).map(([one, at]) => option(String(at), batchName(one))));
fields.outcome.append(option("", "all"), ...OUTCOMES.map(([value, text]) => option(value, text)));
// The newest rollouts are what one asks about first.
const newest = batches.findLastIndex((one) => one.shown);
if (newest >= 0) fields.batch.value = String(newest);
filter();
