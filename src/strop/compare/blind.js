// After web/browser.js. Nothing here says which model an answer is of.

const data = JSON.parse(byId("data").textContent);
const KEY = `strop-blind-${data.page}`;
let at = 0;
let votes = {};
try {
  votes = JSON.parse(localStorage.getItem(KEY)) ?? {};
} catch {
  // A browser that keeps nothing for files: votes are kept until the page is closed.
}

function show() {
  const one = data.items[at], given = Object.keys(votes).length;
  byId("name").textContent = `${at + 1} of ${data.items.length} \u00b7 ${shown(one.name)}`;
  byId("prompt").textContent = shown(one.prompt).trim();
  byId("left").textContent = shown(one.answers[0]) || "(empty answer)";
  byId("right").textContent = shown(one.answers[1]) || "(empty answer)";
  byId("done").value = given / data.items.length;
  byId("count").textContent = `${given} of ${data.items.length} judged`;
  byId("back").disabled = at === 0;
  byId("next").disabled = at + 1 === data.items.length;
  byId("save").disabled = !given;
  for (const button of document.querySelectorAll(".vote")) button.setAttribute("aria-pressed", String(votes[at] === button.dataset.vote));
}

function go(to) {
  at = Math.min(data.items.length - 1, Math.max(0, to));
  show();
  scrollTo(0, 0);
}

function vote(choice) {
  votes[at] = choice;
  try {
    localStorage.setItem(KEY, JSON.stringify(votes));
  } catch {
    // as above
  }
  const open = data.items.findIndex((_, other) => other > at && !(other in votes));
  go(open < 0 ? at : open);
}

function save() {
  const lines = Object.entries(votes).map(([index, choice]) =>
    JSON.stringify({ page: data.page, task: data.task, name: data.items[index].name, vote: choice }) + "\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  link.download = data.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const button of document.querySelectorAll(".vote")) button.addEventListener("click", () => vote(button.dataset.vote));
byId("back").addEventListener("click", () => go(at - 1));
byId("next").addEventListener("click", () => go(at + 1));
byId("save").addEventListener("click", save);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = { 1: "left", 2: "right", 0: "tie" }[event.key];
  if (choice && !event.repeat) vote(choice); // a key that is held votes once
  else if (event.key === "ArrowLeft") go(at - 1);
  else if (event.key === "ArrowRight") go(at + 1);
});
const first = data.items.findIndex((_, index) => !(index in votes));
go(first < 0 ? 0 : first);
