"use strict";
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

function valueOf(row, column) {
  const cell = row.cells[column];
  return "v" in cell.dataset ? cell.dataset.v : cell.textContent.trim();
}

function compare(a, b) {
  const x = Number(a), y = Number(b);
  return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : collator.compare(a, b);
}

function sortBy(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) {
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  }
  head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
  const rows = [...body.rows].sort((a, b) => turn * compare(valueOf(a, column), valueOf(b, column)));
  body.append(...rows);
}

function filter(input) {
  const table = document.getElementById(input.getAttribute("aria-controls"));
  const word = input.value.trim().toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = word !== "" && !row.textContent.toLowerCase().includes(word);
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById(input.dataset.count).textContent = word === "" ? "" : shown + " shown";
}

document.documentElement.classList.add("scripted");
for (const button of document.querySelectorAll("th[aria-sort] button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
for (const input of document.querySelectorAll("input[type=search]")) {
  input.addEventListener("input", () => filter(input));
}
