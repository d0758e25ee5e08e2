// A page of a run that goes on reads itself again, and stays where it was read: place, filters, what is folded out.
(() => {
  const state = document.getElementById("live");
  if (!state || !state.dataset.refresh) return;
  // By name: sections come as the run goes on, and a browser has more fields for some entries than for others.
  const named = (all, name) => Object.fromEntries([...document.querySelectorAll(all)].map((one) => [name(one), one]));
  const fields = () => named(".browser form :is(input, select)", (one) => `${one.closest(".browser").id} ${one.name}`);
  const folds = () => named("details", (one) => `${one.closest("section")?.id} ${one.querySelector("summary").textContent}`);
  const held = (one) => (one.type === "checkbox" ? "checked" : "value");
  const each = (things, get) => Object.fromEntries(Object.entries(things).map(([name, one]) => [name, get(one)]));
  const key = "strop-live:" + location.pathname;
  const now = () => ({ fields: each(fields(), (one) => one[held(one)]), open: each(folds(), (one) => one.open) });
  const made = now();  // what nobody has changed is as the new page makes it: the newest step, say
  const changed = (part, before) => Object.fromEntries(Object.entries(part).filter(([name, value]) => value !== before[name]));
  const keep = () => {
    const { fields, open } = now();
    sessionStorage.setItem(key, JSON.stringify({ at: scrollY, fields: changed(fields, made.fields), open: changed(open, made.open) }));
  };
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(key)); } catch { kept = null; }
  if (kept) {
    for (const [name, one] of Object.entries(folds())) one.open = kept.open[name] ?? one.open;
    for (const [name, one] of Object.entries(fields())) {
      if (!(name in kept.fields) || one[held(one)] === kept.fields[name]) continue;
      one[held(one)] = kept.fields[name];
      for (const event of ["input", "change"]) one.dispatchEvent(new Event(event, { bubbles: true }));
    }
    scrollTo(0, kept.at);
  }
  setInterval(() => {
    const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
    if (typing || String(getSelection())) return;  // not under somebody's hands
    keep();
    location.reload();
  }, 1000 * Number(state.dataset.refresh));
})();
