// A button that plays a stretch of a recording. Its sound is asked of Python when it is first pressed.

const RATE = 16000;

const STYLE = `
.diarnb-box button.diarnb-clip { display: inline-flex; position: relative; align-items: center; gap: .5em; max-width: 100%; height: 28px;
  padding: 0 .8em 0 .6em; overflow: hidden; box-sizing: border-box; cursor: pointer; border-radius: 14px;
  border: 1px solid color-mix(in srgb, currentColor 25%, transparent); background: transparent; color: inherit;
  font: 13px/1 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.diarnb-box button.diarnb-clip:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
.diarnb-clip:focus-visible { outline: 2px solid #0072B2; outline-offset: 1px; }
.diarnb-clip bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; line-height: 1.4; }
.diarnb-clip i { position: absolute; left: 0; bottom: 0; height: 3px; width: 100%; background: #0072B2;
  transform: scaleX(0); transform-origin: left; }
.diarnb-clip svg { flex: none; fill: currentColor; }
.diarnb-box { color: var(--jp-ui-font-color1, var(--vscode-editor-foreground, inherit)); line-height: 0; padding: 1px; }
`;

const SHAPES = { play: "M2 1v10l9-5z", stop: "M2 2h8v8H2z", wait: "M1 5h2v2H1zM5 5h2v2H5zM9 5h2v2H9z" };

function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  const box = document.createElement("div");
  box.className = "diarnb-box";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "diarnb-clip";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["width", 12], ["height", 12], ["aria-hidden", true]]) svg.setAttribute(name, value);
  const shape = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  const label = document.createElement("bdi"), bar = document.createElement("i");
  button.append(svg, label, bar);
  box.append(button);
  el.append(style, box);

  const own = Math.floor(Math.random() * 2 ** 40);  // numbers of questions: several pages may show one button
  let asked = 0, sound = null, context = null, source = null, began = 0, frame = 0, state = "stop";
  const waiting = new Map();

  const name = () => {
    const text = model.get("label");
    label.textContent = text;
    button.setAttribute("aria-label", `${state === "stop" ? "Play" : "Stop"} ${text}`);
  };
  const become = (next, problem = "") => {
    state = next;
    shape.setAttribute("d", SHAPES[{ stop: "play", play: "stop", wait: "wait" }[next]]);
    button.setAttribute("aria-busy", String(next === "wait"));
    button.title = problem;
    name();
    if (problem) label.textContent = problem;
  };
  const ask = (format) => new Promise((resolve, reject) => {
    const id = own + asked++;
    waiting.set(id, { resolve, reject });
    model.send({ id, ask: "clip", format });
  });
  const fetch = async () => {
    const decode = (answer) => new OfflineAudioContext(1, 1, RATE).decodeAudioData(answer);
    const answer = await ask("FLAC");
    if (!answer) {  // it is on its way
      await new Promise((resolve) => setTimeout(resolve, 250));
      return waiting.closed ? Promise.reject(new Error()) : fetch();
    }
    return decode(answer).catch(async () => decode(await ask("WAV")));  // a browser that cannot decode FLAC
  };
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
    document.dispatchEvent(new CustomEvent("diarnb-play", { detail: own }));
    become("wait");
    const mine = context = new AudioContext({ sampleRate: RATE });  // here, while the click still counts as one
    try {
      const found = sound ?? await fetch();
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
      become("stop", error.told ?? "This cannot be played here.");
    }
  };

  const answered = (message, buffers) => {
    if (message.do === "play") { stop(); play(); }
    if (message.do === "stop") stop();
    if (message.do === "forget") { stop(); sound = null; name(); }
    const question = waiting.get(message.id);
    if (!question) return;
    waiting.delete(message.id);
    const view = buffers?.[0];
    if (message.later) question.resolve(null);
    else if (message.error || !view?.byteLength) {
      question.reject({ told: message.error ?? "The recording has ended before this." });
    } else {
      question.resolve(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    }
  };
  const others = (event) => { if (event.detail !== own) stop(); };
  button.onclick = () => (state === "stop" ? play() : stop());
  model.on("msg:custom", answered);
  model.on("change:label", name);
  document.addEventListener("diarnb-play", others);
  become("stop");
  return () => {
    waiting.closed = true;
    stop();
    model.off("msg:custom", answered);
    model.off("change:label", name);
    document.removeEventListener("diarnb-play", others);
  };
}

export default { render };
