// The player: waveform, lanes and words in sync with the sound, and requests for corrections.
// All that is shown comes from Python when this page asks for it; names and words are text and nothing else.

import { button, guardKeys, hideStill, icon, make, swatch, toggle, worded } from "../elements.js";
import { Link, watchKernel } from "../link.js";
import { above, clock, jump, stretches, unpack, within } from "./arithmetic.js";
import { AXIS, GAP, HEADING, LANE, OVERVIEW, STRIP, THEMES, WAVE, drawView, theme } from "./drawing.js";
import { fillBar } from "./editing.js";
import { KEYS, SPEEDS, VERDICTS, pressKey } from "./keyboard.js";
import { movePointer, pressPointer, turnWheel } from "./pointer.js";
import { Transport } from "./transport.js";
import { Waveform } from "./waveform.js";
import { WordsPane } from "./words.js";

class Player {
  constructor(model, el) {
    this.key = `diarnb-${Math.random().toString(36).slice(2)}`;
    this.link = new Link(model, (message, buffers) => this.told(message, buffers));
    this.transport = new Transport(this.link, {
      changed: () => this.refresh(),
      failed: (error) => this.say(error.message),
      ended: () => { this.until = null; this.tune(); },
    });
    this.listening = new AbortController();  // ends every listener outside of the element
    this.root = make("div", { class: "diarnb-player", role: "region", "aria-label": "Player", tabindex: "-1" });
    this.status = make("div", { class: "status", role: "status", "aria-live": "polite" });
    this.root.append(this.status);
    el.append(this.root);
    this.el = el;
    this.forget = watchKernel(model, (text) => this.say(text));
    this.dress();
    this.hello();
  }

  async hello() {
    const late = setTimeout(() => this.say("Waiting for Python. If it is not busy, run this cell again."), 1500);
    this.late = late;
    let told;
    try { told = await this.link.ask("hello"); } catch (error) { this.say(error.message); return; } finally { clearTimeout(late); }
    if (this.closed) return;
    Object.assign(this, { title: told.title, duration: told.duration, hasWords: told.words, selected: null, solo: null, skips: false, loops: false,
      judges: told.judges, formats: told.formats, follows: told.follows, until: null });
    this.view = [0, Math.min(this.duration, this.duration > 900 ? 300 : this.duration)];
    this.take(told, told.buffers);
    this.build();
    this.waveform = new Waveform(this.link, told.levels, () => { if (this.waveform?.problem) this.say(this.waveform.problem); this.redraw(); });
    this.lay();
    this.tune();
    this.say("");
    if (told.selected !== null) this.showTurn(told.selected);
    this.el.append(hideStill(told.still));
  }

  // What Python says without being asked.
  told(message, buffers) {
    if (message.do === "seek" && this.view) this.seek(message.time);
    if (message.do === "play" && this.view) this.playStretch(message.start, message.end);
    if (message.do === "select" && this.view) this.showTurn(message.turn);
    if (message.do !== "turns" || !this.view) return;
    this.take(message, buffers);
    if (this.selected?.turn !== undefined) {
      const [turn, ...more] = this.chosen();
      this.selected = turn === undefined ? null : { turn, more };
    }
    if (this.selected?.voice !== undefined && !this.names[this.selected.voice]) this.selected = null;
    if (this.solo !== null && !this.names[this.solo]) this.solo = null;
    this.lay();
    this.tune();
    this.choose(this.selected);
    this.pane?.load();
  }

  take(told, buffers) {
    Object.assign(this, { names: told.names, colors: told.colors, rounds: told.rounds, canUndo: told.undo, canRedo: told.redo, notes: told.notices });
    this.turns = unpack(buffers[0]);
    this.reference = told.reference && { ...told.reference, turns: unpack(buffers[1]), found: unpack(buffers[2]) };
    this.shares = new Float64Array(this.names.length);
    let all = 0;
    for (let at = 0; at < this.turns.count; at++) {
      const seconds = this.turns.end[at] - this.turns.start[at];
      this.shares[this.turns.lane[at]] += seconds;
      all += seconds;
    }
    for (let lane = 0; lane < this.shares.length; lane++) this.shares[lane] /= all || 1;
  }

  build() {
    const speed = make("select", { title: "Speed (< >)", "aria-label": "Speed", onchange: () => this.transport.set({ speed: Number(speed.value) }) },
      ...SPEEDS.map((each) => make("option", { value: each }, `${each}×`)));
    speed.value = "1";
    Object.assign(this, {
      speed,
      playButton: make("button", { type: "button", class: "play", onclick: () => this.toggle() }),
      clock: make("span", { class: "time" }),
      skipping: toggle("Skip silence", "Skip silence (G)", () => { this.skips = !this.skips; this.tune(); }),
      looping: toggle("Loop turn", "Loop the selected turn (L)", () => this.loop()),
      undo: button("undo", "Undo (Ctrl Z)", () => this.edit({ what: "undo" })),
      redo: button("redo", "Redo (Ctrl Y)", () => this.edit({ what: "redo" })),
      help: make("div", { class: "help", hidden: "" }, ...[...KEYS, ...(this.judges.length ? VERDICTS : [])].map(([key, what]) => make("div", {}, make("kbd", {}, key), what))),
      over: make("canvas", { "aria-hidden": "true" }), window: make("div", { class: "window" }), overHead: make("div", { class: "head" }),
      canvas: make("canvas", { "aria-hidden": "true" }), head: make("div", { class: "head" }), tip: make("div", { class: "tip", hidden: "" }),
      side: make("div", { class: "names", role: "list", "aria-label": "Speakers" }),
      pane: this.hasWords ? new WordsPane(this) : null,
      turnList: make("div", { class: "turns", role: "listbox", tabindex: "0", "aria-label": "Turns", onfocus: () => { if (this.turnAt() < 0) this.walk(0); } }),
      notices: make("div"),
      bar: make("div", { class: "bar edit", role: "group", "aria-label": "Correct", hidden: "" }),
    });
    const volume = make("input", { type: "range", class: "volume", title: "Volume", "aria-label": "Volume", min: 0, max: 1.5, step: 0.05,
      oninput: () => this.transport.setVolume(Number(volume.value)) });
    volume.value = "1";
    const exporting = make("select", { class: "export", title: "Save as a file", "aria-label": "Export", onchange: () => this.export(exporting) },
      make("option", { value: "" }, "Export …"), ...this.formats.map((format) => make("option", { value: format }, format)));
    const helping = toggle("?", "Keys (?)", () => this.assist());
    helping.setAttribute("aria-label", "Keys");
    this.helping = helping;
    this.overview = make("div", { class: "over", title: "The whole recording" }, this.over, this.window, this.overHead);
    this.stage = make("div", { class: "view", role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": 0, "aria-valuemax": this.duration.toFixed(1) },
      this.canvas, this.head, this.tip);
    this.root.setAttribute("aria-label", `Player${this.title && ` of ${this.title}`}`);
    this.root.replaceChildren(
      make("div", { class: "bar tools" },  // where it does not fit in a row, a group goes to the next as a whole
        make("div", { class: "bar" }, this.playButton,
          button("previous", "Previous turn (P)", () => this.go(-1)), button("next", "Next turn (N)", () => this.go(1)),
          button("change", "Next change of speaker (C)", () => this.go(1, true)), this.clock),
        make("div", { class: "bar" }, speed, volume, this.skipping, this.looping),
        make("div", { class: "bar" }, button("out", "Zoom out (−)", () => this.zoom(2)), button("in", "Zoom in (+)", () => this.zoom(0.5)),
          button("fit", "All in view (0)", () => this.show(0, this.duration)), this.undo, this.redo, exporting, helping)),
      this.help,
      make("div", { class: "stage" }, this.overview, this.side, this.stage, this.turnList),
      ...(this.reference ? [make("div", { class: "bar legend", role: "note" }, ...this.reference.kinds.flatMap((kind, at) => [make("i", { class: `kind${at}` }), kind]))] : []),
      ...(this.pane ? [this.pane.root] : []), this.notices, this.bar, this.status);
    this.listen();
    this.pane?.load();
  }

  listen() {
    const { signal } = this.listening;
    this.root.addEventListener("keydown", (event) => pressKey(this, event));
    this.letGo = guardKeys(this.root, (event) => this.pane?.root.contains(event.target) && event.key.toLowerCase() === "f");
    this.stage.addEventListener("pointerdown", (event) => pressPointer(this, event));
    this.stage.addEventListener("pointermove", (event) => movePointer(this, event));
    this.stage.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.stage.addEventListener("wheel", (event) => turnWheel(this, event), { passive: false });
    const pan = (event) => {
      const box = this.overview.getBoundingClientRect(), span = this.view[1] - this.view[0];
      const middle = ((event.clientX - box.left) / box.width) * this.duration;
      this.show(middle - span / 2, middle + span / 2);
    };
    this.overview.addEventListener("pointerdown", (event) => { this.overview.setPointerCapture(event.pointerId); pan(event); });
    this.overview.addEventListener("pointermove", (event) => { if (event.buttons & 1) pan(event); });
    document.addEventListener("diarnb-play", (event) => { if (event.detail !== this.transport) this.transport.pause(); }, { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress(), { signal });
    this.themes = new MutationObserver(() => this.dress());
    for (const node of [document.body, document.documentElement]) {
      this.themes.observe(node, { attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind", "theme"] });
    }
    this.sizes = new ResizeObserver(() => this.redraw());
    this.sizes.observe(this.stage);
  }

  dress() {
    this.look = THEMES[theme()];
    this.root.dataset.theme = theme();
    const sizes = { axis: `${AXIS}px`, row: `${LANE}px` };
    for (const [name, value] of Object.entries({ ...this.look, ...sizes })) this.root.style.setProperty(`--${name}`, value);
    this.redraw();
  }

  say(text) { this.status.textContent = text; }

  // Where every lane stands, and its name beside it.
  lay() {
    this.place = [];
    this.undo.disabled = !this.canUndo;
    this.redo.disabled = !this.canRedo;
    this.notices.replaceChildren(...this.notes.map(({ text, label, what }) =>
      make("div", { class: "bar notice" }, make("span", {}, text), worded(label, () => this.edit({ what })))));
    const rows = [];
    let y = WAVE + GAP;
    const shown = this.names.map((name, lane) => ({ name, lane })).filter(({ name }) => name !== null);
    for (const { name, lane } of shown) {
      this.place[lane] = y;
      const solo = make("button", { type: "button", class: "solo", "aria-pressed": String(this.solo === lane), title: `Only ${name} (S)`, "aria-label": `Play only ${name}`,
        onclick: () => this.alone(lane) }, "S");
      const who = make("button", { type: "button", class: "who", title: `${name}: rename, merge, split`, "aria-label": `${name}: rename, merge, split`, onclick: () => this.choose({ voice: lane }) },
        swatch(this.colors[lane], this.rounds[lane]), make("bdi", {}, name));
      rows.push([y, make("div", { class: "name", role: "listitem" }, who, make("small", {}, `${Math.round(100 * this.shares[lane])}%`), solo)]);
      y += LANE + GAP;
    }
    if (!shown.length) { rows.push([y, make("div", { class: "name title" }, "no speech")]); y += LANE + GAP; }
    this.places = [];
    if (this.reference) {
      rows.push([y, make("div", { class: "name title" }, "reference")]);
      y += HEADING;
      this.reference.names.forEach((name, lane) => {
        this.places[lane] = y;
        rows.push([y, make("div", { class: "name", role: "listitem", style: "padding-left: 5px" }, swatch(this.reference.colors[lane], this.reference.rounds[lane]), make("bdi", { title: name }, name))]);
        y += LANE + GAP;
      });
      this.strip = y;
      rows.push([y - 5, make("div", { class: "name muted", style: "padding-left: 5px", title: "empty box: missed; full: false alarm; striped: confusion" }, "differences")]);
      y += STRIP + GAP;
    }
    this.height = y + AXIS;
    const names = [...shown.map(({ name }) => name), ...(this.reference?.names ?? [])];
    this.root.style.setProperty("--longest", Math.min(24, Math.max(0, ...names.map((name) => name.length))));
    this.side.style.top = `${OVERVIEW + 6}px`;
    this.side.replaceChildren(...rows.map(([top, row]) => { row.style.top = `${top}px`; return row; }));
    this.redraw();
  }

  // What is played, after a change of what is wished for.
  tune() {
    const turn = this.turnAt(), loop = this.loops && turn >= 0
      ? [this.turns.start[turn], Math.max(this.turns.end[turn], this.turns.start[turn] + 0.3)]
      : this.loops && this.selected?.range ? this.selected.range : null;
    const only = this.solo !== null ? stretches(this.turns, this.solo) : this.skips ? stretches(this.turns) : null;
    this.skipping.setAttribute("aria-pressed", String(this.skips));
    this.looping.setAttribute("aria-pressed", String(this.loops));
    this.transport.set({ options: { duration: this.duration, loop, only, until: this.until } });
  }

  playStretch(start, end) {
    this.seek(start, end);
    this.transport.play();
  }

  showTurn(id) {
    const at = this.turns.id.indexOf(id);
    if (at < 0) return;
    if (this.selected?.turn !== id) this.choose({ turn: id }, false, false);
    const [from, until] = this.view, start = this.turns.start[at], span = until - from;
    if (start < from || start > until - 0.1 * span) this.show(start - 0.3 * span, start + 0.7 * span);
  }

  toggle() {
    this.until = null;
    this.tune();
    if (this.transport.playing) this.transport.pause(); else this.transport.play();
  }

  loop() {
    this.loops = !this.loops && (this.turnAt() >= 0 || Boolean(this.selected?.range));
    if (!this.loops && this.turnAt() < 0 && !this.selected?.range) this.say("Select a turn to loop it.");
    this.tune();
  }

  alone(lane) {
    this.solo = this.solo === lane ? null : lane;
    this.tune();
    this.lay();
  }

  // Where it goes on from, and for a stretch that is to be heard alone where it stops.
  seek(time, until = null) {
    if (this.until !== until) {
      this.until = until;
      this.tune();
    }
    this.transport.seek(time);
    this.reveal(this.transport.at);
    this.pane?.look(this.transport.at);
  }

  go(direction, change = false) {
    const at = jump(this.turns, this.transport.time, direction, { lane: this.solo, change });
    if (at < 0) { this.say(direction > 0 ? "There is no later one." : "There is no earlier one."); return; }
    this.choose({ turn: this.turns.id[at] });
    this.seek(this.turns.start[at]);
  }

  reveal(time) {
    const [from, until] = this.view, span = until - from;
    if (time < from || time > until) this.show(time - 0.1 * span, time + 0.9 * span);
  }

  show(from, until) {
    const span = Math.min(this.duration, Math.max(1, until - from));
    const start = Math.min(Math.max(0, from), this.duration - span);
    this.view = [start, start + span];
    this.redraw();
  }

  zoom(factor, at = null) {
    const [from, until] = this.view, now = this.transport.time;
    const fixed = at ?? (now >= from && now <= until ? now : (from + until) / 2);
    const span = Math.min(this.duration, Math.max(1, (until - from) * factor));
    const share = (fixed - from) / (until - from);
    this.show(fixed - share * span, fixed + (1 - share) * span);
  }

  pace(by) {
    const at = Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(this.transport.speed) + by));
    this.speed.value = String(SPEEDS[at]);
    this.transport.set({ speed: SPEEDS[at] });
  }

  assist() {
    this.help.hidden = !this.help.hidden;
    this.helping.setAttribute("aria-pressed", String(!this.help.hidden));
  }

  // Corrections: each is a request; Python checks it, makes it, and tells the new turns.

  async edit(content) {
    this.say("");
    try { this.say((await this.link.ask("edit", content)).told ?? ""); } catch (error) { this.say(error.message); }
  }

  cut(to) {
    const at = this.turnAt(), now = this.transport.time;
    if (at < 0 || now <= this.turns.start[at] || now >= this.turns.end[at]) { this.say("Put the playhead into the selected turn first."); return; }
    this.edit({ what: "select", start: now, end: this.turns.end[at], voice: this.turns.lane[at], to });
  }

  async export(menu) {
    const format = menu.value;
    menu.value = "";
    try {
      const { name, told, buffers } = await this.link.ask("export", { format }), link = make("a", { download: name });
      link.href = URL.createObjectURL(new Blob([buffers[0]]));
      link.click();
      URL.revokeObjectURL(link.href);
      this.say(told);
    } catch (error) { this.say(error.message); }
  }

  // The turns as a list, of which the one that is selected and its neighbours are in the page.
  listTurns() {
    const { turns } = this, at = this.turnAt();
    this.turnList.replaceChildren(...[at - 1, at, at + 1].filter((each) => at >= 0 && each >= 0 && each < turns.count).map((each) =>
      make("div", { role: "option", id: `${this.key}-${turns.id[each]}`, "aria-selected": String(each === at), "aria-setsize": turns.count, "aria-posinset": each + 1 },
        `${this.names[turns.lane[each]]}, ${clock(turns.start[each])} – ${clock(turns.end[each])}${turns.sure[each] > 100 ? "" : `, ${turns.sure[each]}% sure`}, turn ${each + 1} of ${turns.count}`)));
    if (at < 0) this.turnList.removeAttribute("aria-activedescendant");
    else this.turnList.setAttribute("aria-activedescendant", `${this.key}-${turns.id[at]}`);
  }

  // To another turn of the list: so many on, or back.
  walk(by) {
    if (!this.turns.count) return;
    const at = this.turnAt(), next = Math.min(this.turns.count - 1, Math.max(0, at < 0 ? above(this.turns.start, this.transport.time) - 1 : at + by));
    this.choose({ turn: this.turns.id[next] });
    this.seek(this.turns.start[next]);
  }

  // The turns that are selected; the first one is it where only one can be meant.
  chosen() {
    const { turn, more = [] } = this.selected ?? {};
    return turn === undefined ? [] : [turn, ...more].filter((id) => this.turns.id.includes(id));
  }

  turnAt() {
    return this.selected?.turn === undefined ? -1 : this.turns.id.indexOf(this.selected.turn);
  }

  voices() { return this.names.flatMap((name, lane) => (name === null ? [] : [lane])); }

  choose(selected, naming = false, tell = true) {
    const before = this.selected, typing = this.bar.contains(document.activeElement);
    this.selected = selected;
    this.bar.hidden = !selected;
    fillBar(this, naming);
    this.listTurns();
    if (typing && !naming && !this.bar.contains(document.activeElement)) this.stage.focus({ preventScroll: true });
    if (this.loops && JSON.stringify(before) !== JSON.stringify(selected)) {
      this.loops = Boolean(selected && (this.turnAt() >= 0 || selected.range));
      this.tune();
    }
    if (this.follows && tell && selected?.turn !== undefined && before?.turn !== selected.turn) {
      clearTimeout(this.telling);  // in a while, for sound that is asked for comes first
      this.telling = setTimeout(() => this.link.ask("selected", { turn: selected.turn }).catch((error) => this.say(error.message)), 200);
    }
    this.redraw();
  }

  // A verdict on the turn that a review beside the player asks about.
  judge(key) {
    this.link.ask("verdict", { key }).catch((error) => this.say(error.message));
  }

  // What moves: once for every change, and while playing with every frame.

  redraw() {
    this.stale = true;
    this.refresh();
  }

  refresh() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.closed || !this.height) return;
      const time = this.transport.time, { playing } = this.transport;
      if (playing && this.heard <= this.view[1] && time > this.view[1]) this.reveal(time);
      this.heard = time;
      if (this.stale) drawView(this);
      this.follow(time);
      if (playing) this.refresh();
    });
  }

  follow(time) {
    const [from, until] = this.view, { playing } = this.transport, width = this.stage.clientWidth;
    const x = ((time - from) / (until - from)) * width;
    this.head.style.transform = `translateX(${x}px)`;
    this.head.hidden = x < 0 || x > width;
    this.overHead.style.transform = `translateX(${(time / this.duration) * width}px)`;
    const shown = `${clock(time)}|${playing}`;
    this.pane?.follow(time);
    if (shown === this.shown) return;
    this.shown = shown;
    this.clock.replaceChildren(clock(time), make("span", {}, ` / ${clock(this.duration)}`));
    this.stage.setAttribute("aria-valuenow", time.toFixed(1));
    this.stage.setAttribute("aria-valuetext", `${clock(time)}, ${this.speaking(time).map((at) => this.names[this.turns.lane[at]]).join(" and ") || "nobody"}`);
    if (this.playButton.dataset.state === String(playing)) return;
    this.playButton.dataset.state = String(playing);
    this.playButton.replaceChildren(icon(playing ? "pause" : "play"));
    this.playButton.title = playing ? "Pause (Space)" : "Play (Space)";
    this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  speaking(time) {
    const [first, beyond] = within(this.turns, time, time), found = [];
    for (let at = first; at < beyond; at++) if (this.turns.end[at] > time) found.push(at);
    return found;
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.late);
    clearTimeout(this.telling);
    this.transport.close();
    this.waveform?.close();
    this.pane?.close();
    this.link.close();
    this.forget();
    this.letGo?.();
    this.listening.abort();
    this.themes?.disconnect();
    this.sizes?.disconnect();
  }
}

export default {
  render({ model, el }) {
    const player = new Player(model, el);
    return () => player.close();
  },
};
