"use strict";
// Scheme, copying, sorting, filtering. Pages are complete without this script.
{
  const root = document.documentElement;
  const button = document.querySelector("button.scheme");
  const dark = () => (root.dataset.scheme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} colour scheme`);
  };
  button.addEventListener("click", () => {
    root.dataset.scheme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("scheme", root.dataset.scheme);
    } catch {
      // not kept: the choice holds for this page
    }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  button.hidden = false;
  name();
}

for (const button of document.querySelectorAll("button.copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

const table = document.getElementById("board");
if (table) {
  const PAGE = 50; // rows in the document at once: with thousands, sorting stays quick
  const body = table.querySelector("tbody.rows");
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const form = document.querySelector("form.tools");
  const more = document.querySelector(".more");
  const collator = new Intl.Collator("en", { numeric: true });
  const keys = new Map(); // column -> what its cells sort by, collected when it is first needed
  let words = null; // what the filter reads of each row, likewise
  let order = rows.map((_, i) => i);
  let limit = PAGE;

  const cells = (column) => rows.map((row) => row.cells[column].dataset.v ?? row.querySelector(".who").textContent);

  const show = () => {
    const wanted = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length) words ??= rows.map((row) => row.querySelector(".who").textContent.toLowerCase());
    const { controls, unranked } = form.elements;
    const found = order.filter(
      (i) =>
        wanted.every((word) => words[i].includes(word)) &&
        (controls.checked || rows[i].dataset.kind === "entrant") &&
        (unranked.checked || rows[i].dataset.status === "ranked"),
    );
    const shown = found.slice(0, limit).map((i) => rows[i]);
    for (const row of shown) row.hidden = false;
    body.replaceChildren(...shown);
    form.querySelector("output").textContent =
      shown.length < found.length ? `${shown.length} of ${found.length} rows shown` : `${found.length} of ${rows.length} rows`;
    more.hidden = shown.length === found.length;
  };

  const sort = (column, direction) => {
    if (!keys.has(column)) keys.set(column, cells(column));
    const key = keys.get(column);
    const sign = direction === "ascending" ? 1 : -1;
    const numbers = key.every((k) => !Number.isNaN(Number(k)));
    const compare = numbers ? (a, b) => a - b : collator.compare;
    order = rows.map((_, i) => i).sort((i, j) => {
      if (key[i] === "" || key[j] === "") return (key[i] === "") - (key[j] === "") || i - j; // no number: always last
      return sign * compare(key[i], key[j]) || i - j;
    });
    heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
    table.toggleAttribute("data-resorted", column !== 0 || direction !== "ascending");
    limit = PAGE;
    show();
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const first = button.dataset.better === "higher" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      sort(column, head.getAttribute("aria-sort") === first ? other : first);
    });
  });
  form.addEventListener("input", () => {
    limit = PAGE;
    show();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.querySelector("button").addEventListener("click", () => {
    limit += 10 * PAGE;
    show();
  });
  form.hidden = false;
  show();
}
