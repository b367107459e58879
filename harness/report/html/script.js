"use strict";
// The page can be read without this: it adds the search, and unfolds what a link leads to.
(() => {
  const results = document.getElementById("results");
  const form = document.getElementById("filter");

  const reveal = (element) => {
    for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) { reveal(target); target.scrollIntoView(); }
  };
  addEventListener("hashchange", follow);
  follow();

  // What is seen whole needs no stop of the Tab key.
  const fitting = new ResizeObserver((entries) => {
    for (const { target: at } of entries) at.tabIndex = at.scrollWidth > at.clientWidth || at.scrollHeight > at.clientHeight ? 0 : -1;
  });
  for (const each of document.querySelectorAll("pre[tabindex], .scroll")) fitting.observe(each);

  for (const pre of document.querySelectorAll("pre.copy")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pre.textContent.trim());
      button.textContent = "Copied";
    });
    pre.after(button);
  }

  if (!form || !results) return;
  form.hidden = false;
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const folds = () => [...results.querySelectorAll("details")];
  let rows = null;

  const read = () => [...results.querySelectorAll("tbody tr")].map((row) => ({
    row,
    change: row.className,
    text: `${row.closest("details.file").firstElementChild.firstElementChild.textContent}::${row.textContent}`.toLowerCase(),
  }));
  const filter = () => {
    rows ??= read();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const narrowed = words.length > 0 || wanted.size < boxes.length;
    const full = new Set();
    let count = 0;
    for (const { row, change, text } of rows) {
      const shown = wanted.has(change) && words.every((word) => text.includes(word));
      row.hidden = !shown;
      if (!shown) continue;
      count += 1;
      for (let at = row.closest("details"); at; at = at.parentElement.closest("details")) {
        if (full.has(at)) break;
        full.add(at);
      }
    }
    for (const table of results.querySelectorAll("details.file > table")) table.hidden = !table.querySelector("tbody tr:not([hidden])");
    for (const each of folds()) {
      each.hidden = narrowed && !full.has(each);
      each.open = narrowed && count <= 500 && full.has(each);
    }
    found.textContent = narrowed ? `${count} of ${rows.length} tests` : "";
  };
  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 150); });
  for (const box of boxes) box.addEventListener("change", filter);
  form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  document.getElementById("unfold").addEventListener("click", () => { for (const each of folds()) each.open = true; });
  document.getElementById("fold").addEventListener("click", () => { for (const each of folds()) each.open = false; });
})();
