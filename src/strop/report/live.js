// A page of a run that goes on reads itself again, and stays where it was read: place, filters, what is folded out.
(() => {
  const state = document.getElementById("live");
  if (!state || !state.dataset.refresh) return;
  const fields = () => [...document.querySelectorAll("input, select")];
  const folds = () => [...document.querySelectorAll("details")];
  const key = "strop-live:" + location.pathname;
  const keep = () => sessionStorage.setItem(key, JSON.stringify({
    at: scrollY, fields: fields().map((one) => one.type === "checkbox" ? one.checked : one.value), open: folds().map((one) => one.open),
  }));
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(key)); } catch { kept = null; }
  if (kept) {
    folds().forEach((one, i) => { if (i < kept.open.length) one.open = kept.open[i]; });
    fields().forEach((one, i) => {
      if (i >= kept.fields.length || one.type === "file") return;
      const name = one.type === "checkbox" ? "checked" : "value";
      if (one[name] === kept.fields[i]) return;
      one[name] = kept.fields[i];
      for (const event of ["input", "change"]) one.dispatchEvent(new Event(event, { bubbles: true }));
    });
    scrollTo(0, kept.at);
  }
  setInterval(() => {
    const typing = document.activeElement && document.activeElement.matches("input, select, textarea");
    if (typing || String(getSelection())) return;  // not under somebody's hands
    keep();
    location.reload();
  }, 1000 * Number(state.dataset.refresh));
})();
