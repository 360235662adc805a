// Tells Python of the keys that are pressed while a panel has the focus; what is typed into a box is the box's.

function render({ model, el }) {
  const keys = new Set(model.get("watched"));
  let panel = null, frame = 0;
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (!keys.has(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ key: event.key });
  };
  const find = () => {
    panel = el.closest(".diarnb-keys");
    if (!panel) {
      frame = requestAnimationFrame(find);  // it is not on the page yet
      return;
    }
    panel.setAttribute("tabindex", "0");
    panel.setAttribute("role", "region");
    panel.setAttribute("aria-label", model.get("label"));
    panel.setAttribute("data-lm-suppress-shortcuts", "true");  // else the notebook takes them for its own
    panel.addEventListener("keydown", press);
  };
  find();
  return () => {
    cancelAnimationFrame(frame);
    panel?.removeEventListener("keydown", press);
  };
}

export default { render };
