"use strict";
// Sort, filter, copy and theme. The page reads the same without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.v;
    return value === undefined ? null : Number(value);
  };

  const sort = (heading) => {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") === "descending";
    const numeric = all("tbody tr", table).some((row) => key(row, column) !== null);
    const compare = (a, b) => {
      if (!numeric) return a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
      const [x, y] = [key(a, column), key(b, column)];
      if (x === null || y === null) return (x === null) - (y === null) || 0;
      return x - y;
    };
    // A gap stays at the end whichever way is sorted.
    const gap = (row) => numeric && key(row, column) === null;
    const rows = all("tbody tr", table);
    const known = rows.filter((row) => !gap(row)).sort(compare);
    if (!up) known.reverse();
    table.tBodies[0].append(...known, ...rows.filter(gap));
    all("th", table.tHead).forEach((th) => th.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  };

  const matches = (text, query) => query.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));

  const csv = (table) => all("tr", table).filter((row) => !row.hidden).map((row) =>
    [...row.cells].map((cell) => {
      const text = cell.textContent.trim();
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    }).join(",")).join("\n");

  all("[data-table]").forEach((box) => {
    const table = box.querySelector("table");
    all("[data-sort]", box).forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));
    const filter = box.querySelector("[data-filter]");
    if (filter) filter.addEventListener("input", () => all("tbody tr", table).forEach((row) => { row.hidden = !matches(row.textContent, filter.value); }));
    const copy = box.querySelector("[data-copy]");
    if (copy && navigator.clipboard) {
      copy.hidden = false;
      copy.addEventListener("click", async () => {
        try { await navigator.clipboard.writeText(csv(table)); copy.textContent = "Copied"; }
        catch { copy.textContent = "The browser does not allow copying here"; }
      });
    }
  });

  all("[data-items]").forEach((box) => {
    const filter = box.querySelector("[data-filter-items]");
    filter.addEventListener("input", () => all(".item", box).forEach((item) => { item.hidden = !matches(item.textContent, filter.value); }));
  });

  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
