// Lives in a panel of ipywidgets: tells Python of the keys that are pressed while the panel has the focus, keeps them
// from the notebook, hides the picture that stays while the panel lives, and says when the kernel is gone.

import { guardKeys, hideStill, make } from "./elements.js";
import { watchKernel } from "./link.js";

function render({ model, el }) {
  const grown = new MutationObserver(() => lookAround());
  let panel = null, frame = 0, letGo = () => {};
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.target.closest("button") && (event.key === " " || event.key === "Enter")) return;
    if (!model.get("watched").includes(event.key) || !event.target.closest(".diarnb-keys")) return;
    event.preventDefault();
    model.send({ key: event.key });
  };
  const find = () => {
    panel = el.closest(".diarnb-panel, .diarnb-studio");
    if (!panel) {
      frame = requestAnimationFrame(find);  // it is not on the page yet
      return;
    }
    panel.setAttribute("tabindex", "-1");  // a click anywhere in it takes the focus from the notebook
    panel.setAttribute("role", "region");
    panel.setAttribute("aria-label", model.get("label"));
    panel.addEventListener("keydown", press);
    letGo = guardKeys(panel);
    lookAround();
    grown.observe(panel, { childList: true, subtree: true });
  };
  const lookAround = () => {
    nameHandles(panel);
    const keyed = panel.closest(".diarnb-keys") ?? panel.querySelector(".diarnb-keys");
    if (keyed && keyed.getAttribute("tabindex") !== "0") {
      keyed.setAttribute("tabindex", "0");
      keyed.setAttribute("role", "region");
      keyed.setAttribute("aria-label", "Review of turns");
    }
  };
  find();
  if (model.get("still")) el.append(hideStill(model.get("still")));
  const lost = make("div", { class: "diarnb-lost", role: "status" });
  el.append(lost);
  const forget = watchKernel(model, (text) => { lost.textContent = text; });
  return () => {
    cancelAnimationFrame(frame);
    panel?.removeEventListener("keydown", press);
    letGo();
    grown.disconnect();
    forget();
  };
}

// The handles of a slider have no names of their own.
function nameHandles(panel) {
  for (const slider of panel.querySelectorAll(".widget-slider, .widget-hslider")) {
    const name = slider.querySelector(".widget-label")?.textContent ?? "", handles = [...slider.querySelectorAll(".noUi-handle")];
    handles.forEach((handle, at) => {
      const own = handles.length > 1 ? `${name}, ${at ? "most" : "least"}` : name;
      if (handle.getAttribute("aria-label") !== own) handle.setAttribute("aria-label", own);
    });
  }
}

export default { render };
