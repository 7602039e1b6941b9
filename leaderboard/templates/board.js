"use strict";
// Sorting and filtering of tables that are complete without this script.
for (const section of document.querySelectorAll("main section[id^=track-]")) {
  const body = section.querySelector("tbody.rows");
  const rows = [...body.rows];
  const heads = [...section.querySelectorAll("thead th")];
  const form = section.querySelector("form.tools");

  const keyOf = (row, column) => row.cells[column].dataset.v;
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  const sort = (column, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const order = rows.map((row, i) => ({ row, i, key: keyOf(row, column) })).sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.i - b.i; // no number: always last
      return sign * compare(a.key, b.key) || a.i - b.i;
    });
    body.append(...order.map((item) => item.row));
    heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
  };

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.querySelector(".better")?.textContent === "↑" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      sort(column, now === first ? other : first);
    });
  });

  const filter = () => {
    const words = form.querySelector("[type=search]").value.toLowerCase().split(/\s+/).filter(Boolean);
    const controls = form.elements.controls.checked;
    const unranked = form.elements.unranked.checked;
    let shown = 0;
    for (const row of rows) {
      const text = row.cells[1].textContent.toLowerCase();
      const keep = words.every((word) => text.includes(word)) &&
        (controls || row.dataset.kind === "entrant") &&
        (unranked || row.dataset.status === "ranked");
      row.hidden = !keep;
      shown += keep;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}

const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const fold = target.closest("details");
  if (fold) fold.open = true;
  target.scrollIntoView();
  if (target.tabIndex === -1) target.focus({ preventScroll: true });
};
addEventListener("hashchange", reveal);
reveal();
