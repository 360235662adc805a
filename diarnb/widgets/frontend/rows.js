// Puts a button that plays into each row of a table that stands in another output, as long as there is a kernel.

import { guardKeys, make } from "./elements.js";

function render({ model }) {
  let frame = 0, table = null, letGo = () => {};
  const press = (event) => {
    const row = event.target.closest("tbody button")?.closest("tr");
    if (!row) return;
    table.querySelector("[aria-current]")?.removeAttribute("aria-current");
    row.setAttribute("aria-current", "true");
    model.send({ row: Number(row.dataset.row) });
  };
  const leave = () => {
    cancelAnimationFrame(frame);
    table?.removeEventListener("click", press);
    for (const button of table?.querySelectorAll("tbody button") ?? []) button.remove();
    letGo();
  };
  const find = () => {
    table = document.querySelector(`.${CSS.escape(model.get("table"))} table`);
    if (!table) {
      frame = requestAnimationFrame(find);  // it is not on the page yet
      return;
    }
    for (const [place, row] of [...table.tBodies[0].rows].entries()) {
      row.dataset.row ??= place;  // a table that is sorted already has them
      row.cells[0].prepend(make("button", { type: "button", "aria-label": `Play row ${row.cells[0].textContent}` }));
    }
    table.addEventListener("click", press);
    letGo = guardKeys(table);
  };
  find();
  model.on("comm_live_update", leave);  // the kernel is gone
  return () => {
    model.off("comm_live_update", leave);
    leave();
  };
}

export default { render };
