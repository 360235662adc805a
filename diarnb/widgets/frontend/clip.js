// A button that plays a stretch of a recording. Its sound is asked of Python when it is first pressed.

import { ICONS, guardKeys, icon, make } from "./elements.js";
import { Link } from "./link.js";

const RATE = 16000;

function render({ model, el }) {
  const shape = icon("play"), label = make("bdi"), bar = make("i");
  const button = make("button", { type: "button", class: "diarnb-clip" }, shape, label, bar);
  el.append(make("div", { class: "diarnb-box" }, button));
  const letGo = guardKeys(el);
  let sound = null, context = null, source = null, began = 0, frame = 0, state = "stop";

  const link = new Link(model, (message) => {
    if (message.do === "play") { stop(); play(); }
    if (message.do === "stop") stop();
    if (message.do === "forget") { stop(); sound = null; name(); }
  });
  const name = () => {
    const text = model.get("label");
    label.textContent = text;
    button.setAttribute("aria-label", `${state === "stop" ? "Play" : "Stop"} ${text}`);
  };
  const become = (next, problem = "") => {
    state = next;
    shape.firstChild.setAttribute("d", ICONS[{ stop: "play", play: "stop", wait: "wait" }[next]]);
    button.setAttribute("aria-busy", String(next === "wait"));
    button.title = problem;
    name();
    if (problem) label.textContent = problem;
  };
  const ask = async (format) => {
    const { buffers: [view], later } = await link.ask("clip", { format });
    if (later) {  // it is on its way
      await new Promise((resolve) => setTimeout(resolve, 250));
      return link.closed ? Promise.reject(new Error()) : ask(format);
    }
    if (!view?.byteLength) throw Object.assign(new Error("The recording has ended before this."), { told: true });
    const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    return new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  };
  // A browser that cannot decode FLAC can decode WAV.
  const load = () => ask("FLAC").catch((error) => (error.told ? Promise.reject(error) : ask("WAV")));
  const stop = () => {
    cancelAnimationFrame(frame);
    if (source) { source.onended = null; source.stop(); }
    context?.close();
    source = context = null;
    bar.style.transform = "scaleX(0)";
    if (state !== "stop") become("stop");
  };
  const watch = () => {
    bar.style.transform = `scaleX(${Math.min(1, (context.currentTime - began) / sound.duration)})`;
    frame = requestAnimationFrame(watch);
  };
  const play = async () => {
    if (state !== "stop") return;
    document.dispatchEvent(new CustomEvent("diarnb-play", { detail: link }));
    become("wait");
    context = new AudioContext({ sampleRate: RATE });  // here, while the click still counts as one
    const mine = context;
    try {
      const found = sound ?? await load();
      if (context !== mine) return;  // stopped meanwhile
      sound = found;
      source = new AudioBufferSourceNode(context, { buffer: sound });
      source.connect(context.destination);
      source.onended = stop;
      source.start();
      began = context.currentTime;
      become("play");
      watch();
    } catch (error) {
      if (context !== mine) return;
      stop();
      become("stop", error.told ? error.message : "This cannot be played here.");
    }
  };

  const others = (event) => { if (event.detail !== link) stop(); };
  button.onclick = () => (state === "stop" ? play() : stop());
  model.on("change:label", name);
  document.addEventListener("diarnb-play", others);
  become("stop");
  return () => {
    stop();
    link.close();
    letGo();
    model.off("change:label", name);
    document.removeEventListener("diarnb-play", others);
  };
}

export default { render };
