for (const box of document.querySelectorAll(".diarnb-rows:not([data-sorts])")) {
  box.dataset.sorts = "";
  const body = box.querySelector("tbody"), rows = [...body.rows], heads = [...box.querySelectorAll("th[scope=col]")];
  const read = (cell) => {
    const text = cell.textContent;
    return /^[\d:]+(\.\d+)?$/.test(text) ? text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0) : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true }));
  for (const [place, head] of heads.entries()) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.title = "Sort";
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      const found = new Map(rows.map((row) => [row, read(row.cells[place + 1])]));
      rows.sort((one, other) => {
        const [a, b] = [found.get(one), found.get(other)];
        return (a === "") - (b === "") || down * compare(a, b);  // what is not known comes last
      });
      body.append(...rows);
    };
  }
}
