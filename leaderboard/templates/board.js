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
  const PAGE = 100; // rows on the screen: sorting stays quick with thousands
  const body = table.querySelector("tbody.rows");
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const form = document.querySelector("form.tools");
  const more = document.querySelector(".more");
  let order = rows.slice();
  let limit = PAGE;
  let words = null; // what the filter reads of each row, collected when it is first used

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };

  const kept = (row, text, wanted) =>
    wanted.every((word) => text.includes(word)) &&
    (form.elements.controls.checked || row.dataset.kind === "entrant") &&
    (form.elements.unranked.checked || row.dataset.status === "ranked");

  const show = () => {
    const wanted = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length && !words) {
      words = new Map(rows.map((row) => [row, row.querySelector(".who").textContent.toLowerCase()]));
    }
    let found = 0;
    for (const row of order) {
      const keep = kept(row, wanted.length ? words.get(row) : "", wanted);
      found += keep;
      const hide = !keep || found > limit;
      if (row.hidden !== hide) row.hidden = hide;
    }
    const shown = Math.min(found, limit);
    form.querySelector("output").textContent =
      shown < found ? `${shown} of ${found} rows shown` : `${found} of ${rows.length} rows`;
    more.hidden = shown === found;
  };

  const sort = (column, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = rows.map((row, i) => ({ row, i, key: value(row, column) }));
    keyed.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.i - b.i; // no number: always last
      return sign * compare(a.key, b.key) || a.i - b.i;
    });
    order = keyed.map((item) => item.row);
    for (const row of rows) if (!row.hidden) row.hidden = true;
    body.append(...order);
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
    limit += 5 * PAGE;
    show();
  });
  form.hidden = false;
  show();
}
