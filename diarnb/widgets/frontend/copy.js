// A line of Python, and a button that copies it. The line is text and nothing else.

export default {
  render({ model, el }) {
    el.classList.add("diarnb-code");
    const line = document.createElement("code");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "jupyter-button lm-Widget";
    button.setAttribute("aria-live", "polite");
    line.setAttribute("aria-label", "The same in Python");
    el.append(line, button);
    let clear = 0;

    const show = () => {
      line.textContent = model.get("code");
      button.textContent = "Copy";
    };
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(line);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    };
    button.addEventListener("click", async () => {
      select(); // where the page may not write to the clipboard, the line is at least ready to be copied by hand
      let said = "Copied";
      try {
        await navigator.clipboard.writeText(line.textContent);
      } catch {
        said = "Selected";
      }
      button.textContent = said;
      clearTimeout(clear);
      clear = setTimeout(show, 1500);
    });
    model.on("change:code", show);
    show();
    return () => {
      clearTimeout(clear);
      model.off("change:code", show);
    };
  },
};
