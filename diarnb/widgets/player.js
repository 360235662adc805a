// The player: waveform, lanes and words in sync with the sound, and requests for corrections.
// All that is shown comes from Python when this page asks for it; names and words are text and nothing else.
// From the top: arithmetic without a page (tested by node), questions to Python, sound, drawing, controls.

const RATE = 16000, SLICE = 4, TICKS = 10000, TILE = 2048, FACTOR = 4, FINEST = 0.01;

// ---- arithmetic

export function clock(time, tenths = true) {
  const all = tenths ? Math.round(time * 10) : Math.floor(time) * 10;
  const [hours, minutes, seconds] = [Math.floor(all / 36000), Math.floor(all / 600) % 60, Math.floor(all / 10) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds)}${tenths ? `.${all % 10}` : ""}`;
}

// The first place in a sorted list whose value is greater than the one given.
export function above(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}

export function unpack(view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength), count = bytes.byteLength / 15;
  const seconds = (from) => Float64Array.from(new Uint32Array(bytes, from, count), (ticks) => ticks / TICKS);
  const turns = { count, id: new Int32Array(bytes, 0, count), start: seconds(4 * count), end: seconds(8 * count),
    lane: new Uint16Array(bytes, 12 * count, count), sure: new Uint8Array(bytes, 14 * count, count) };
  turns.reach = turns.end.slice();  // the latest end so far, which is sorted: all before it are over
  for (let at = 1; at < count; at++) turns.reach[at] = Math.max(turns.reach[at], turns.reach[at - 1]);
  return turns;
}

// The places of the first turn that is not over at a time, and of the first that begins at another or later.
export const within = (turns, from, until) => [above(turns.reach, from), above(turns.start, until)];

// Stretches to play: all speech, or one lane's, with what is closer together than the margins joined.
export function stretches(turns, lane = null, before = 0.1, after = 0.15) {
  const found = [];
  for (let at = 0; at < turns.count; at++) {
    if (lane !== null && turns.lane[at] !== lane) continue;
    const start = Math.max(0, turns.start[at] - before), end = turns.end[at] + after, last = found[found.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end); else found.push([start, end]);
  }
  return found;
}

// What to play from a time on: [start, end], or null at the end.
export function plan(time, { duration, loop = null, only = null }) {
  if (loop) return time >= loop[0] && time < loop[1] - 1e-3 ? [time, loop[1]] : loop;
  if (only) {
    const at = above(only.map((span) => span[1] - 1e-3), time);
    return at < only.length && only[at][0] < duration
      ? [Math.max(time, only[at][0]), Math.min(only[at][1], duration)] : null;
  }
  return time < duration - 1e-3 ? [time, duration] : null;
}

// The turn that begins next, or that began before; of another speaker than the one who speaks, where wished for.
export function jump(turns, time, direction, { lane = null, change = false } = {}) {
  const fits = (at) => lane === null || turns.lane[at] === lane;
  const next = above(turns.start, time + 0.01);
  if (direction < 0) {
    for (let at = above(turns.start, time - 0.5) - 1; at >= 0; at--) if (fits(at)) return at;
    return -1;
  }
  let now = next - 1;
  while (change && now >= 0 && turns.end[now] <= time) now--;
  for (let at = next; at < turns.count; at++) {
    if (fits(at) && !(change && now >= 0 && turns.lane[at] === turns.lane[now])) return at;
  }
  return -1;
}

// Faster or slower at the same pitch: overlapping frames, each from where it continues the last one best (WSOLA).
export function stretched(read, from, count, rate, state) {
  const FRAME = 640, HOP = 320, SEARCH = 160;
  const out = new Float32Array(Math.max(1, Math.round(count / rate / HOP)) * HOP);
  for (let filled = 0; filled < out.length; filled += HOP) {
    const ideal = Math.round(from + filled * rate);
    let best = ideal;
    if (state.next !== undefined) {
      const wanted = read(state.next, HOP), region = read(ideal - SEARCH, HOP + 2 * SEARCH);
      let most = -Infinity;
      for (let shift = 0; shift <= 2 * SEARCH; shift += 2) {
        let likeness = 0;
        for (let at = 0; at < HOP; at += 2) likeness += wanted[at] * region[shift + at];
        if (likeness > most) { most = likeness; best = ideal - SEARCH + shift; }
      }
    }
    const frame = read(best, FRAME);
    for (let at = 0; at < HOP; at++) {
      const rise = 0.5 - 0.5 * Math.cos((Math.PI * (at + 0.5)) / HOP);
      out[filled + at] = state.tail ? state.tail[at] * (1 - rise) + frame[at] * rise : frame[at];
    }
    state.tail = frame.slice(HOP);
    state.next = best + HOP;
  }
  return out;
}

export function step(seconds, most) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];
  return steps.find((each) => seconds <= each * most) ?? 86400;
}

// ---- questions to Python

class Link {
  constructor(model, told) {
    this.model = model;
    this.waiting = new Map();
    this.next = Math.floor(Math.random() * 2 ** 50);  // several views of one model hear all answers
    this.heard = (message, buffers) => {
      if (message?.do) told(message, buffers);
      const question = this.waiting.get(message?.id);
      this.waiting.delete(message?.id);
      if (message?.error) question?.reject(Object.assign(new Error(message.error), { told: true }));
      else question?.resolve({ ...message, buffers: buffers ?? [] });
    };
    model.on("msg:custom", this.heard);
  }

  ask(name, content = {}) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.model.send({ id, ask: name, ...content });
    });
  }

  close() {
    this.model.off("msg:custom", this.heard);
    this.waiting.clear();
  }
}

// ---- sound

class Transport {
  constructor(link, changed, failed) {
    Object.assign(this, { link, changed, failed, at: 0, playing: false, speed: 1, options: { duration: 0 } });
    this.slices = new Map();  // number -> samples, or a promise of them; the oldest are forgotten
    this.pieces = [];  // what is scheduled: [when, until] of the context's clock, [from, to] of the recording
    this.turn = 0;  // counts seeks, so that what was fetched for an earlier one is not played
    this.format = "FLAC";
  }

  get time() {
    if (!this.playing || !this.context) return this.at;
    const now = this.context.currentTime - (this.context.outputLatency || 0);
    while (this.pieces.length > 1 && now >= this.pieces[0].until) this.pieces.shift().source.disconnect();
    const piece = this.pieces[0];
    if (!piece) return this.at;
    const share = Math.min(1, Math.max(0, (now - piece.when) / (piece.until - piece.when)));
    return piece.from + share * (piece.to - piece.from);
  }

  play() {
    if (this.playing) return;
    document.dispatchEvent(new CustomEvent("diarnb-play", { detail: this }));
    this.context ??= new AudioContext({ sampleRate: RATE });
    this.context.resume();
    this.playing = true;
    if (!plan(this.at, this.options)) this.at = 0;
    this.pump = setInterval(() => this.fill(), 100);
    this.restart(this.at);
  }

  pause() {
    if (!this.playing) return;
    this.at = this.time;
    this.playing = false;
    clearInterval(this.pump);
    this.silence();
    this.context.suspend();
    this.changed();
  }

  seek(time) {
    this.at = Math.min(Math.max(0, time), this.options.duration);
    if (this.playing) this.restart(this.at); else this.slice(Math.floor(this.at / SLICE)).catch(() => {});
    this.changed();
  }

  // Anew from where it is, with other options or another speed.
  set(change) {
    const time = this.time;
    Object.assign(this, change);
    if (this.playing) this.restart(time);
    this.changed();
  }

  silence() {
    this.turn++;
    for (const { source } of this.pieces) { source.stop(); source.disconnect(); }
    this.pieces = [];
  }

  restart(time) {
    this.silence();
    this.at = this.next = time;
    this.until = 0;  // of the context's clock: so far there is sound
    this.flow = {};
    this.fresh = true;  // what comes next does not continue what was before
    this.filling = false;
    this.fill();
    this.changed();
  }

  async slice(number) {
    const found = this.slices.get(number)
      ?? this.fetch(number).catch((error) => { this.slices.delete(number); throw error; });
    this.slices.delete(number);
    this.slices.set(number, found);
    if (this.slices.size > 60) this.slices.delete(this.slices.keys().next().value);
    return found;
  }

  async fetch(number) {
    const { buffers: [view], later } = await this.link.ask("slice", { number, format: this.format });
    if (later) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      if (!this.closed) return this.fetch(number);
    }
    let samples = new Float32Array(0);
    if (view?.byteLength) {
      const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
      try {
        samples = (await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes)).getChannelData(0);
      } catch (error) {
        if (this.format === "WAV") throw error;
        this.format = "WAV";  // a browser that cannot decode FLAC
        return this.fetch(number);
      }
    }
    if (this.slices.has(number)) this.slices.set(number, samples);
    return samples;
  }

  // Samples wherever they are; what is not there is silence.
  read(first, count) {
    const out = new Float32Array(count), size = SLICE * RATE;
    for (let at = Math.max(0, first); at < first + count;) {
      const number = Math.floor(at / size), samples = this.slices.get(number), from = at - number * size;
      const length = Math.min(size - from, first + count - at);
      if (samples instanceof Float32Array) out.set(samples.subarray(from, from + length), at - first);
      at += length;
    }
    return out;
  }

  // Schedule sound until there is enough; one at a time.
  async fill() {
    if (this.filling) return;
    this.filling = true;
    const turn = this.turn, context = this.context;
    try {
      while (this.playing && turn === this.turn && this.until < context.currentTime + 1.5) {
        const span = plan(this.next, this.options);
        if (!span) {
          if (context.currentTime >= this.until) { this.pause(); this.at = this.options.duration; this.changed(); }
          break;
        }
        if (Math.abs(span[0] - this.next) > 1e-3) this.fresh = true;
        const to = Math.min(span[1], span[0] + 0.5 * this.speed), last = Math.floor((to + 0.1) / SLICE);
        const wanted = Promise.all([Math.floor(span[0] / SLICE), last].map((number) => this.slice(number)));
        for (let ahead = 1; ahead <= 4; ahead++) this.slice(last + ahead).catch(() => {});
        await wanted;
        if (turn !== this.turn || !this.playing) return;
        this.schedule(span[0], to, to === span[1]);
      }
    } catch (error) {
      if (turn === this.turn) { this.pause(); this.failed(error); }
    } finally {
      if (turn === this.turn) this.filling = false;
    }
  }

  schedule(from, to, ends) {
    const first = Math.round(from * RATE), count = Math.max(1, Math.round(to * RATE) - first);
    if (this.fresh) this.flow = {};
    const samples = this.speed === 1
      ? this.read(first, count) : stretched((...where) => this.read(...where), first, count, this.speed, this.flow);
    const ramp = Math.min(64, samples.length >> 1);  // 4 ms, against clicks where the sound jumps
    for (let at = 0; at < ramp; at++) {
      if (this.fresh) samples[at] *= at / ramp;
      if (ends) samples[samples.length - 1 - at] *= at / ramp;
    }
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const when = Math.max(this.until, this.context.currentTime + 0.01);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    source.start(when);
    this.until = when + samples.length / RATE;
    this.pieces.push({ source, when, until: this.until, from, to });
    this.next = to;
    this.fresh = ends;
  }

  close() {
    this.closed = true;
    this.playing = false;
    clearInterval(this.pump);
    this.silence();
    this.context?.close();
    this.slices.clear();
  }
}

// ---- drawing

const LANE = 22, GAP = 4, WAVE = 64, STRIP = 12, AXIS = 20, HEADING = 22, OVERVIEW = 18;

const THEMES = {
  light: { ink: "#1f2328", muted: "#656d76", lane: "#f0f1f3", line: "#c9ced6", accent: "#0072B2", page: "#ffffff" },
  dark: { ink: "#e6e8eb", muted: "#9ba1a9", lane: "#2a2d31", line: "#4a4f57", accent: "#56B4E9", page: "#17181a" },
};

// Front ends say it in different ways; without any, the system does.
function theme() {
  const { body, documentElement: root } = document;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "true" ? "light" : "dark";
  if (body.dataset.vscodeThemeKind) return body.dataset.vscodeThemeKind.includes("light") ? "light" : "dark";
  if (root.getAttribute("theme")) return root.getAttribute("theme") === "dark" ? "dark" : "light";  // Colab
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

class Waveform {
  constructor(link, levels, changed) {
    Object.assign(this, { link, levels, changed, tiles: new Map(), gain: 1, timers: new Set(), problem: "" });
    this.fetch(levels - 1, 0);
  }

  async fetch(level, tile, pause = 300) {
    const key = `${level}/${tile}`;
    if (!this.tiles.has(key)) this.tiles.set(key, null);
    let answer;
    try { answer = await this.link.ask("peaks", { level, tile }); } catch (error) { this.problem = error.message; return; }
    const [view] = answer.buffers;
    const bins = view ? new Int8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : null;
    if (!bins || !this.tiles) return;
    this.tiles.set(key, bins);
    this.problem = answer.problem;
    if (level === this.levels - 1) {
      let most = 0;
      for (const value of bins) most = Math.max(most, Math.abs(value));
      this.gain = 0.96 / Math.max(0.01, (most / 127) ** 2);
    }
    this.changed();
    if (answer.done < Math.min(1e8, (tile + 1) * TILE * FINEST * FACTOR ** level)) {
      const timer = setTimeout(() => { this.timers.delete(timer); this.fetch(level, tile, Math.min(3000, 1.5 * pause)); }, pause);
      this.timers.add(timer);
    }
  }

  // How loud it is between two times, 0 to 1, as fine as is known; what is missing is asked for.
  bars(from, until, count) {
    const each = (until - from) / count;
    const fit = Math.floor(Math.log(each / FINEST) / Math.log(FACTOR));
    const level = Math.min(this.levels - 1, Math.max(0, fit));
    const out = new Float32Array(count);
    for (let bar = 0; bar < count; bar++) {
      const start = from + bar * each;
      for (let coarse = level; coarse < this.levels; coarse++) {
        const size = FINEST * FACTOR ** coarse, first = Math.floor(start / size);
        const tile = Math.floor(first / TILE), bins = this.tiles.get(`${coarse}/${tile}`);
        if (bins === undefined && coarse === level) this.fetch(level, tile);
        if (!bins) continue;
        const beyond = Math.max(first + 1, Math.min(Math.ceil((start + each) / size), (tile + 1) * TILE));
        let most = 0;
        for (let bin = first - tile * TILE; bin < beyond - tile * TILE; bin++) {
          most = Math.max(most, -bins[2 * bin] || 0, bins[2 * bin + 1] || 0);
        }
        out[bar] = Math.min(1, (most / 127) ** 2 * this.gain);
        break;
      }
    }
    return out;
  }

  close() {
    this.timers.forEach(clearTimeout);
    this.tiles = new Map();
  }
}

// Draws what is in view and nothing else, so that it does not matter how many turns there are.
function drawTurns(brush, turns, place, colors, { from, until, width, selected, look }) {
  const scale = width / (until - from), covered = {};
  const [first, beyond] = within(turns, from, until);
  for (let at = first; at < beyond; at++) {
    if (turns.end[at] < from) continue;
    const lane = turns.lane[at], y = place[lane];
    if (y === undefined) continue;
    const left = Math.max(-4, (turns.start[at] - from) * scale), right = Math.min(width + 4, (turns.end[at] - from) * scale);
    if (right <= covered[lane]) continue;  // many turns within one pixel
    const wide = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
    covered[lane] = wide <= 1 ? left + 0.5 : -Infinity;
    brush.globalAlpha = turns.sure[at] > 100 ? 1 : 0.25 + (0.75 * turns.sure[at]) / 100;
    brush.fillStyle = colors[lane];
    brush.beginPath();
    if (wide > 6) brush.roundRect(left, y + 2, wide, LANE - 4, 3); else brush.rect(left, y + 2, wide, LANE - 4);
    brush.fill();
    if (turns.id[at] === selected) {
      brush.globalAlpha = 1;
      brush.lineWidth = 2;
      brush.strokeStyle = look.ink;
      brush.beginPath();
      brush.roundRect(left - 1, y + 1, wide + 2, LANE - 2, 4);
      brush.stroke();
    }
  }
  brush.globalAlpha = 1;
}

// Missed speech is an empty box, a false alarm a full one, confusion a striped one.
function drawDifferences(brush, found, y, { from, until, width, look }) {
  const scale = width / (until - from);
  const [first, beyond] = within(found, from, until);
  brush.strokeStyle = brush.fillStyle = look.ink;
  brush.lineWidth = 1;
  for (let at = first; at < beyond; at++) {
    const left = (found.start[at] - from) * scale, wide = Math.max(1, (found.end[at] - found.start[at]) * scale);
    brush.globalAlpha = found.end[at] - found.start[at] < 0.25 ? 0.35 : 1;  // most are but another opinion on a boundary
    if (found.lane[at] === 1 || wide < 3) { brush.fillRect(left, y + 1, wide, STRIP - 2); continue; }
    brush.strokeRect(left + 0.5, y + 1.5, wide - 1, STRIP - 3);
    if (found.lane[at] === 0) continue;
    brush.save();
    brush.beginPath();
    brush.rect(left, y + 1, wide, STRIP - 2);
    brush.clip();
    brush.beginPath();
    for (let x = Math.max(-STRIP, left - STRIP); x < Math.min(width, left + wide); x += 4) {
      brush.moveTo(x, y + STRIP);
      brush.lineTo(x + STRIP, y);
    }
    brush.stroke();
    brush.restore();
  }
  brush.globalAlpha = 1;
}

// ---- controls

const STYLE = `
.diarnb-player { --side: 184px; position: relative; box-sizing: border-box; min-width: 240px; margin: 2px; padding: 10px 12px;
  border: 1px solid var(--line); border-radius: 8px; color: var(--ink); background: var(--page); outline: none;
  font: 13px/1.4 system-ui, -apple-system, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums;
  container-type: inline-size; }
.diarnb-player * { box-sizing: border-box; }
.diarnb-player [hidden] { display: none !important; }
.diarnb-player .bar { display: flex; flex-wrap: wrap; align-items: center; gap: 4px; }
.diarnb-player .bar + .bar { margin-top: 8px; }
.diarnb-player .gap { flex: 1 1 8px; }
.diarnb-player button, .diarnb-player select, .diarnb-player input { height: 28px; margin: 0; padding: 0 8px; font: inherit;
  color: inherit; background: transparent; border: 1px solid transparent; border-radius: 6px; }
.diarnb-player select, .diarnb-player input, .diarnb-player .text { border-color: var(--line); }
.diarnb-player option { color: #1f2328; background: #fff; }
.diarnb-player input { width: 180px; }
.diarnb-player select { width: auto; padding: 0 4px; }
.diarnb-player button { cursor: pointer; display: inline-flex; align-items: center; justify-content: center; gap: 5px; }
.diarnb-player button.icon { width: 28px; padding: 0; }
.diarnb-player button:hover:not(:disabled), .diarnb-player select:hover { background: var(--lane); }
.diarnb-player button:disabled { opacity: .35; cursor: default; }
.diarnb-player button[aria-pressed=true] { background: var(--ink); color: var(--page); border-color: var(--ink); }
.diarnb-player :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.diarnb-player svg { fill: currentColor; flex: none; }
.diarnb-player .play { width: 34px; height: 34px; padding: 0; border-radius: 50%; background: var(--accent); color: var(--page); }
.diarnb-player .play:hover:not(:disabled) { background: var(--accent); filter: brightness(1.12); }
.diarnb-player .time { min-width: 11.5em; padding: 0 6px; white-space: nowrap; }
.diarnb-player .time span, .diarnb-player .muted { color: var(--muted); }
.diarnb-player .stage { position: relative; margin-top: 10px; padding-left: var(--side); }
.diarnb-player .over, .diarnb-player .view { position: relative; touch-action: pan-y; user-select: none; overflow: hidden; }
.diarnb-player .over { margin-bottom: 6px; border-radius: 4px; cursor: pointer; }
.diarnb-player .view { cursor: text; border-radius: 4px; }
.diarnb-player canvas { display: block; width: 100%; }
.diarnb-player .head { position: absolute; top: 0; bottom: ${AXIS}px; left: 0; width: 2px; margin-left: -1px; background: var(--ink);
  pointer-events: none; }
.diarnb-player .head::before { content: ""; position: absolute; top: 0; left: -4px; border: 5px solid transparent;
  border-top-color: var(--ink); border-bottom: 0; }
.diarnb-player .over .head { bottom: 0; }
.diarnb-player .over .head::before { content: none; }
.diarnb-player .window { position: absolute; top: 0; bottom: 0; border: 2px solid var(--ink); border-radius: 4px;
  pointer-events: none; }
.diarnb-player .names { position: absolute; left: 0; width: calc(var(--side) - 8px); }
.diarnb-player .name { position: absolute; left: 0; right: 0; display: flex; align-items: center; gap: 4px; height: ${LANE}px; }
.diarnb-player .name button { height: 22px; padding: 0 5px; }
.diarnb-player .name .who { flex: 1; min-width: 0; justify-content: flex-start; gap: 5px; }
.diarnb-player i { flex: none; width: 10px; height: 10px; margin: 0 2px; border-radius: 3px; }
.diarnb-player .name bdi { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.diarnb-player .name .solo { width: 20px; height: 20px; padding: 0; font-size: 11px; border-color: var(--line); color: var(--muted); }
.diarnb-player .name .solo[aria-pressed=true] { color: var(--page); }
.diarnb-player .name small { color: var(--muted); font-size: 11px; }
.diarnb-player .name.title { font-weight: 600; padding-left: 5px; }
.diarnb-player .tip { position: absolute; z-index: 3; padding: 2px 7px; border-radius: 5px; pointer-events: none; white-space: nowrap;
  background: var(--ink); color: var(--page); font-size: 12px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; }
.diarnb-player .words { position: relative; max-height: 104px; margin: 8px 0 0; overflow-y: auto; line-height: 1.55; }
.diarnb-player .words p { margin: 0 0 3px; padding-left: var(--side); text-indent: 0; position: relative; }
.diarnb-player .words p > b { position: absolute; left: 5px; width: calc(var(--side) - 12px); overflow: hidden; font-weight: 600;
  text-overflow: ellipsis; white-space: nowrap; border-left: 3px solid; padding-left: 6px; }
.diarnb-player .words span { cursor: pointer; border-radius: 3px; }
.diarnb-player .words span.now { background: var(--ink); color: var(--page); box-shadow: 0 0 0 2px var(--ink); }
.diarnb-player .edit { margin-top: 8px; padding: 6px 8px; border-radius: 6px; background: var(--lane); }
.diarnb-player .edit button:hover:not(:disabled) { background: var(--page); }
.diarnb-player .status { margin-top: 6px; color: var(--muted); font-size: 12px; }
.diarnb-player .status:empty { margin: 0; }
.diarnb-player .help { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 2px 16px; margin: 8px 0 0; }
.diarnb-player .help div { display: flex; gap: 8px; }
.diarnb-player kbd { min-width: 68px; color: var(--muted); font: inherit; }
@container (max-width: 560px) {
  .diarnb-player .stage, .diarnb-player .words { --side: 116px; }
  .diarnb-player .name small, .diarnb-player .name .solo:not([aria-pressed=true]) { display: none; }
  .diarnb-player .time { min-width: 0; padding: 0 2px; }
  .diarnb-player .bar { gap: 2px; }
  .diarnb-player .gap { display: none; }
  .diarnb-player button.icon { width: 25px; }
  .diarnb-player .text { padding: 0 5px; }
}
`;

const ICONS = {
  play: "M4 2v12l10-6z", pause: "M3 2h4v12H3zM9 2h4v12H9z", wait: "M2 7h3v3H2zM6.5 7h3v3h-3zM11 7h3v3h-3z",
  previous: "M3 3h2v10H3zM13 3v10L6 8z", next: "M11 3h2v10h-2zM3 3v10l7-5z",
  change: "M8 2a3 3 0 110 6 3 3 0 010-6zM2 14c0-3 3-5 6-5s6 2 6 5z",
  out: "M3 7h10v2H3z", in: "M7 3h2v4h4v2H9v4H7V9H3V7h4z", fit: "M1 3h2v10H1zM13 3h2v10h-2zM4 8l3-3v2h2V5l3 3-3 3V9H7v2z",
  undo: "M6 3L2 6.500l4 3.500V7.500h4a2.500 2.500 0 010 5H6v2h4a4.500 4.500 0 000-9H6z",
  redo: "M10 3l4 3.500-4 3.500V7.500H6a2.500 2.500 0 000 5h4v2H6a4.500 4.500 0 010-9h4z",
};

const KEYS = [
  ["Space", "play or pause"], ["← →", "2 seconds back or on"], ["Shift ← →", "a tenth of a second"], ["P N", "previous, next turn"],
  ["C", "next change of speaker"], ["S", "only this speaker"], ["G", "skip silence"], ["L", "loop this turn"], ["< >", "slower, faster"],
  ["+ −", "zoom"], ["0", "all in view"], ["1 … 9", "the turn is this speaker's"], ["[ ]", "it starts, ends here"],
  ["X", "from here on: a new voice"], ["Enter", "name its speaker"], ["Del", "delete it"], ["Ctrl Z, Y", "undo, redo"], ["Esc", "select nothing"],
];

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

// The only way in which elements are made: what is shown is text, never markup.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of [["viewBox", "0 0 16 16"], ["width", 16], ["height", 16], ["aria-hidden", true]]) svg.setAttribute(key, value);
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  svg.firstChild.setAttribute("d", ICONS[name]);
  return svg;
}

const button = (name, label, onclick) => make("button", { type: "button", class: "icon", title: label, "aria-label": label.replace(/ \(.*\)$/, ""), onclick }, icon(name));
const worded = (label, onclick, title = null) => make("button", { type: "button", class: "text", title, onclick }, label);
const toggle = (label, title, onclick) => make("button", { type: "button", class: "text", "aria-pressed": "false", title, onclick }, label);

class Player {
  constructor(model, el) {
    this.link = new Link(model, (message, buffers) => this.told(message, buffers));
    this.transport = new Transport(this.link, () => this.refresh(), (error) => this.say(error.message));
    this.listening = new AbortController();  // ends every listener outside of the element
    this.root = make("div", { class: "diarnb-player", role: "region", "aria-label": "Player", tabindex: "-1", "data-lm-suppress-shortcuts": "true" });
    this.style = make("style", {}, STYLE);
    this.status = make("div", { class: "status", role: "status", "aria-live": "polite" });
    this.root.append(this.status);
    el.append(this.style, this.root);
    this.dress();
    this.hello();
  }

  async hello() {
    const late = setTimeout(() => this.say("Waiting for Python. If it is not busy, run this cell again."), 1500);
    this.late = late;
    let told;
    try { told = await this.link.ask("hello"); } catch (error) { this.say(error.message); return; } finally { clearTimeout(late); }
    if (this.closed) return;
    Object.assign(this, { title: told.title, duration: told.duration, hasWords: told.words, selected: null, solo: null, skips: false, loops: false });
    this.view = [0, Math.min(this.duration, this.duration > 900 ? 300 : this.duration)];
    this.texts = new Map();
    this.take(told, told.buffers);
    this.build();
    this.waveform = new Waveform(this.link, told.levels, () => { if (this.waveform?.problem) this.say(this.waveform.problem); this.redraw(); });
    this.lay();
    this.tune();
    this.say("");
  }

  // What Python says without being asked.
  told(message, buffers) {
    if (message.do === "seek" && this.view) this.seek(message.time);
    if (message.do !== "turns" || !this.view) return;
    this.take(message, buffers);
    if (this.turnAt() < 0 && this.selected?.turn !== undefined) this.selected = null;
    if (this.selected?.voice !== undefined && !this.names[this.selected.voice]) this.selected = null;
    if (this.solo !== null && !this.names[this.solo]) this.solo = null;
    this.lay();
    this.tune();
    this.choose(this.selected);
    this.spell = null;
  }

  take(told, buffers) {
    Object.assign(this, { names: told.names, colors: told.colors, canUndo: told.undo, canRedo: told.redo });
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
      help: make("div", { class: "help", hidden: "" }, ...KEYS.map(([key, what]) => make("div", {}, make("kbd", {}, key), what))),
      over: make("canvas", { "aria-hidden": "true" }), window: make("div", { class: "window" }), overHead: make("div", { class: "head" }),
      canvas: make("canvas", { "aria-hidden": "true" }), head: make("div", { class: "head" }), tip: make("div", { class: "tip", hidden: "" }),
      side: make("div", { class: "names", role: "list", "aria-label": "Speakers" }),
      words: make("div", { class: "words", "aria-label": "Words" }),
      bar: make("div", { class: "bar edit", role: "group", "aria-label": "Correct", hidden: "" }),
    });
    const helping = toggle("?", "Keys (?)", () => this.assist());
    helping.setAttribute("aria-label", "Keys");
    this.helping = helping;
    this.overview = make("div", { class: "over", title: "The whole recording" }, this.over, this.window, this.overHead);
    this.stage = make("div", { class: "view", role: "slider", tabindex: "0", "aria-label": "Position", "aria-valuemin": 0, "aria-valuemax": this.duration.toFixed(1) },
      this.canvas, this.head, this.tip);
    this.root.setAttribute("aria-label", `Player${this.title && ` of ${this.title}`}`);
    this.root.replaceChildren(
      make("div", { class: "bar" }, this.playButton,
        button("previous", "Previous turn (P)", () => this.go(-1)), button("next", "Next turn (N)", () => this.go(1)),
        button("change", "Next change of speaker (C)", () => this.go(1, true)), this.clock, speed, this.skipping, this.looping,
        make("span", { class: "gap" }), button("out", "Zoom out (−)", () => this.zoom(2)), button("in", "Zoom in (+)", () => this.zoom(0.5)),
        button("fit", "All in view (0)", () => this.show(0, this.duration)), this.undo, this.redo, helping),
      this.help,
      make("div", { class: "stage" }, this.overview, this.side, this.stage),
      this.words, this.bar, this.status);
    this.words.hidden = !this.hasWords;
    this.listen();
  }

  listen() {
    const { signal } = this.listening;
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.stage.addEventListener("pointerdown", (event) => this.press(event));
    this.stage.addEventListener("pointermove", (event) => this.hover(event));
    this.stage.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
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
    for (const [name, value] of Object.entries(this.look)) this.root.style.setProperty(`--${name}`, value);
    this.redraw();
  }

  say(text) { this.status.textContent = text; }

  // Where every lane stands, and its name beside it.
  lay() {
    this.place = [];
    this.undo.disabled = !this.canUndo;
    this.redo.disabled = !this.canRedo;
    const rows = [];
    let y = WAVE + GAP;
    const shown = this.names.map((name, lane) => ({ name, lane })).filter(({ name }) => name !== null);
    for (const { name, lane } of shown) {
      this.place[lane] = y;
      const solo = make("button", { type: "button", class: "solo", "aria-pressed": String(this.solo === lane), title: `Only ${name} (S)`, "aria-label": `Play only ${name}`,
        onclick: () => this.alone(lane) }, "S");
      const who = make("button", { type: "button", class: "who", title: `${name}: rename, merge, split`, "aria-label": `${name}: rename, merge, split`, onclick: () => this.choose({ voice: lane }) },
        this.swatch(this.colors[lane]), make("bdi", {}, name));
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
        rows.push([y, make("div", { class: "name", role: "listitem", style: "padding-left: 5px" }, this.swatch(this.reference.colors[lane]), make("bdi", { title: name }, name))]);
        y += LANE + GAP;
      });
      this.strip = y;
      rows.push([y - 5, make("div", { class: "name muted", style: "padding-left: 5px", title: "empty box: missed; full: false alarm; striped: confusion" }, "differences")]);
      y += STRIP + GAP;
    }
    this.height = y + AXIS;
    this.side.style.top = `${OVERVIEW + 6}px`;
    this.side.replaceChildren(...rows.map(([top, row]) => { row.style.top = `${top}px`; return row; }));
    this.redraw();
  }

  swatch(color) {
    const node = make("i");
    node.style.background = color;
    return node;
  }

  // What is played, after a change of what is wished for.
  tune() {
    const turn = this.turnAt(), loop = this.loops && turn >= 0
      ? [this.turns.start[turn], Math.max(this.turns.end[turn], this.turns.start[turn] + 0.3)]
      : this.loops && this.selected?.range ? this.selected.range : null;
    const only = this.solo !== null ? stretches(this.turns, this.solo) : this.skips ? stretches(this.turns) : null;
    this.skipping.setAttribute("aria-pressed", String(this.skips));
    this.looping.setAttribute("aria-pressed", String(this.loops));
    this.transport.set({ options: { duration: this.duration, loop, only } });
  }

  toggle() { if (this.transport.playing) this.transport.pause(); else this.transport.play(); }

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

  seek(time) {
    this.transport.seek(time);
    this.reveal(this.transport.at);
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

  // Pointer: a click seeks and selects, a drag selects a stretch, or moves an edge of the selected turn.

  when(event) {
    const box = this.stage.getBoundingClientRect(), [from, until] = this.view;
    return Math.min(this.duration, Math.max(0, from + ((event.clientX - box.left) / box.width) * (until - from)));
  }

  under(event) {
    const box = this.stage.getBoundingClientRect(), y = event.clientY - box.top, time = this.when(event);
    const near = (2 * (this.view[1] - this.view[0])) / box.width;
    for (const [turns, place] of [[this.turns, this.place], [this.reference?.turns, this.places]]) {
      if (!turns) continue;
      const lane = place.findIndex((top) => top !== undefined && y >= top && y < top + LANE);
      if (lane < 0) continue;
      const [first, beyond] = within(turns, time - near, time + near);
      for (let at = beyond - 1; at >= first; at--) {
        if (turns.lane[at] === lane && turns.end[at] >= time - near) return { turns, at };
      }
    }
    return null;
  }

  edge(event) {
    const at = this.turnAt();
    if (at < 0) return null;
    const box = this.stage.getBoundingClientRect(), y = event.clientY - box.top, top = this.place[this.turns.lane[at]];
    if (y < top || y > top + LANE) return null;
    const near = (6 * (this.view[1] - this.view[0])) / box.width, time = this.when(event);
    const [start, end] = [Math.abs(time - this.turns.start[at]), Math.abs(time - this.turns.end[at])];
    return Math.min(start, end) > near ? null : start < end ? "start" : "end";
  }

  press(event) {
    if (event.button !== 0) return;
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    const began = this.when(event), x = event.clientX, edge = this.edge(event), at = this.turnAt();
    const times = at >= 0 ? [this.turns.start[at], this.turns.end[at]] : null;
    const move = (next) => {
      const time = this.when(next);
      if (Math.abs(next.clientX - x) < 4 && !this.drag) return;
      if (edge) {
        const moved = edge === "start" ? [Math.min(time, times[1] - 0.02), times[1]] : [times[0], Math.max(time, times[0] + 0.02)];
        this.drag = { range: moved, edge };
      } else this.drag = { range: [Math.min(began, time), Math.max(began, time)] };
      this.redraw();
    };
    const end = (last) => {
      this.stage.removeEventListener("pointermove", move);
      this.stage.removeEventListener("pointerup", end);
      this.stage.removeEventListener("pointercancel", end);
      const drag = this.drag;
      this.drag = null;
      if (last.type === "pointercancel") { this.redraw(); return; }
      if (drag?.edge) this.edit({ what: "move", turns: [this.turns.id[at]], start: drag.range[0], end: drag.range[1] });
      else if (drag) this.choose({ range: drag.range });
      else {
        const hit = this.under(last);
        this.choose(hit?.turns === this.turns ? { turn: this.turns.id[hit.at] } : null);
        this.transport.seek(began);
      }
    };
    this.stage.addEventListener("pointermove", move);
    this.stage.addEventListener("pointerup", end);
    this.stage.addEventListener("pointercancel", end);
  }

  hover(event) {
    const hit = this.under(event), box = this.stage.getBoundingClientRect();
    this.stage.style.cursor = this.edge(event) ? "ew-resize" : hit?.turns === this.turns ? "pointer" : "text";
    let text = clock(this.when(event));
    if (hit) {
      const { turns, at } = hit, names = turns === this.turns ? this.names : this.reference.names;
      text = `${names[turns.lane[at]]}  ${clock(turns.start[at])} – ${clock(turns.end[at])}${turns.sure[at] > 100 ? "" : `  ·  ${turns.sure[at]}% sure`}`;
    }
    this.tip.hidden = false;
    this.tip.textContent = text;
    const left = event.clientX - box.left, y = event.clientY - box.top;
    this.tip.style.left = `${Math.max(0, Math.min(left + 12, box.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${y > 30 ? y - 28 : y + 20}px`;
  }

  wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (!event.ctrlKey && !event.metaKey && !sideways) return;  // that is for the notebook
    event.preventDefault();
    if (!sideways) { this.zoom(Math.exp(event.deltaY * 0.005), this.when(event)); return; }
    const by = ((event.deltaX || event.deltaY) / this.stage.clientWidth) * (this.view[1] - this.view[0]);
    this.show(this.view[0] + by, this.view[1] + by);
  }

  key(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing) {
      if (event.key === "Escape") { this.choose(null); this.stage.focus(); }
      event.stopPropagation();
      return;
    }
    const control = event.ctrlKey || event.metaKey, at = this.turnAt(), now = this.transport.time;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const times = at >= 0 ? [this.turns.start[at], this.turns.end[at]] : null, id = at >= 0 ? [this.turns.id[at]] : null;
    const onButton = event.target.tagName === "BUTTON" && (key === " " || key === "Enter");
    if (onButton || event.altKey) return;
    const keys = control ? {
      z: () => this.edit({ what: event.shiftKey ? "redo" : "undo" }), y: () => this.edit({ what: "redo" }),
    } : {
      " ": () => this.toggle(), k: () => this.toggle(),
      ArrowLeft: () => this.seek(now - (event.shiftKey ? 0.1 : 2)), ArrowRight: () => this.seek(now + (event.shiftKey ? 0.1 : 2)),
      Home: () => this.seek(0), End: () => this.seek(this.duration),
      n: () => this.go(1), p: () => this.go(-1), c: () => this.go(1, true),
      g: () => this.skipping.click(), l: () => this.loop(), s: () => this.alone(at >= 0 ? this.turns.lane[at] : this.solo),
      "<": () => this.pace(-1), ">": () => this.pace(1), "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2),
      0: () => this.show(0, this.duration), "?": () => this.assist(), Escape: () => this.choose(null),
      Enter: () => { if (at >= 0) this.choose({ voice: this.turns.lane[at] }, true); },
    };
    if (id && !control) Object.assign(keys, {
      "[": () => this.edit({ what: "move", turns: id, start: now, end: times[1] }),
      "]": () => this.edit({ what: "move", turns: id, start: times[0], end: now }),
      x: () => this.cut(-1), Delete: () => this.edit({ what: "delete", turns: id }), Backspace: () => this.edit({ what: "delete", turns: id }),
    });
    if (id && !control && /^[1-9]$/.test(key)) {
      const to = this.voices()[Number(key) - 1];
      if (to !== undefined) keys[key] = () => this.edit({ what: "reassign", turns: id, to });
    }
    if (!Object.hasOwn(keys, key)) return;
    event.preventDefault();
    event.stopPropagation();
    keys[key]();
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
    try { await this.link.ask("edit", content); } catch (error) { this.say(error.message); }
  }

  cut(to) {
    const at = this.turnAt(), now = this.transport.time;
    if (at < 0 || now <= this.turns.start[at] || now >= this.turns.end[at]) { this.say("Put the playhead into the selected turn first."); return; }
    this.edit({ what: "select", start: now, end: this.turns.end[at], voice: this.turns.lane[at], to });
  }

  turnAt() {
    return this.selected?.turn === undefined ? -1 : this.turns.id.indexOf(this.selected.turn);
  }

  voices() { return this.names.flatMap((name, lane) => (name === null ? [] : [lane])); }

  // A menu of voices; what is chosen is done at once.
  menu(label, taken, done, { fresh = true, first = label } = {}) {
    const options = this.voices().filter((lane) => lane !== taken).map((lane) => make("option", { value: lane }, this.names[lane]));
    if (fresh) options.push(make("option", { value: -1 }, "a new speaker"));
    const select = make("select", { "aria-label": label, title: label, onchange: () => { if (select.value !== "") done(Number(select.value)); } },
      make("option", { value: "" }, first), ...options);
    select.style.maxWidth = "170px";
    return select;
  }

  choose(selected, naming = false) {
    const before = this.selected;
    this.selected = selected;
    this.bar.hidden = !selected;
    const typing = this.bar.contains(document.activeElement);
    const text = (words) => make("span", {}, words);
    const at = this.turnAt();
    if (at >= 0) {
      const { start, end, lane } = this.turns, id = [selected.turn];
      this.bar.replaceChildren(this.swatch(this.colors[lane[at]]),
        text(`${clock(start[at])} – ${clock(end[at])}`),
        this.menu("Who speaks in this turn (1 … 9)", lane[at], (to) => this.edit({ what: "reassign", turns: id, to }), { first: this.names[lane[at]] }),
        this.menu("Who speaks from the playhead on (X)", lane[at], (to) => this.cut(to), { first: "from here on …" }),
        worded("starts here", () => this.edit({ what: "move", turns: id, start: this.transport.time, end: this.turns.end[this.turnAt()] }), "Move its start to the playhead ([)"),
        worded("ends here", () => this.edit({ what: "move", turns: id, start: this.turns.start[this.turnAt()], end: this.transport.time }), "Move its end to the playhead (])"),
        worded("delete", () => this.edit({ what: "delete", turns: id }), "Delete this turn (Del)"));
    } else if (selected?.range) {
      const [start, end] = selected.range;
      this.bar.replaceChildren(text(`${clock(start)} – ${clock(end)}`),
        this.menu("Who speaks in this stretch", null, (to) => this.edit({ what: "select", start, end, voice: null, to }), { first: "all of it is …" }),
        this.menu("Add a turn of", null, (to) => this.edit({ what: "add", start, end, to }), { first: "add a turn of …" }),
        worded("play", () => { this.loops = true; this.tune(); this.seek(start); this.transport.play(); }, "Play this stretch in a loop"));
    } else if (selected?.voice !== undefined) {
      const { voice } = selected, twin = this.voices().find((lane) => lane !== voice && this.names[lane] === this.names[voice]);
      const input = make("input", { "aria-label": "Name", maxlength: 200, spellcheck: "false" });
      input.value = this.names[voice];
      const rename = () => { if (input.value.trim() && input.value !== this.names[voice]) this.edit({ what: "rename", voice, name: input.value.trim() }); };
      input.onkeydown = (event) => { if (event.key === "Enter") { rename(); this.stage.focus(); } };
      const merge = (to) => this.edit({ what: "merge", voice, to });
      this.bar.replaceChildren(this.swatch(this.colors[voice]), input, worded("rename", rename),
        ...(twin === undefined ? [] : [text("Two speakers have this name."), worded("make them one", () => merge(twin))]),
        this.menu("Merge into", voice, merge, { fresh: false, first: "merge into …" }),
        worded(this.solo === voice ? "play all" : "play only this", () => { this.alone(voice); this.choose(this.selected); }, "Play nobody else (S)"),
        worded("split here", () => this.edit({ what: "split", voice, start: this.transport.time }), "From the playhead on, this voice is a new speaker's"));
      if (naming) { input.focus(); input.select(); }
    }
    if (typing && !naming && !this.bar.contains(document.activeElement)) this.stage.focus({ preventScroll: true });
    if (this.loops && JSON.stringify(before) !== JSON.stringify(selected)) {
      this.loops = Boolean(selected && (at >= 0 || selected.range));
      this.tune();
    }
    this.redraw();
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
      if (this.stale) this.draw();
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
    if (this.hasWords) this.highlight(time);
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

  brush(canvas, height) {
    const scale = devicePixelRatio || 1, width = this.stage.clientWidth;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const brush = canvas.getContext("2d");
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.clearRect(0, 0, width, height);
    return [brush, width];
  }

  draw() {
    this.stale = false;
    const [from, until] = this.view, { look, turns, colors } = this;
    const [brush, width] = this.brush(this.canvas, this.height);
    const frame = { from, until, width, look, selected: this.selected?.turn };
    const lanes = (places) => places.forEach((y) => { if (y !== undefined) { brush.fillStyle = look.lane; brush.beginPath(); brush.roundRect(0, y + 2, width, LANE - 4, 3); brush.fill(); } });
    lanes(this.place);
    lanes(this.places);
    this.drawTime(brush, frame);
    this.drawWave(brush, frame);
    drawTurns(brush, turns, this.place, colors, frame);
    if (this.reference) {
      drawTurns(brush, this.reference.turns, this.places, this.reference.colors, { ...frame, selected: null });
      drawDifferences(brush, this.reference.found, this.strip, frame);
    }
    const range = this.drag?.range ?? this.selected?.range;
    if (range) {
      const x = ((range[0] - from) / (until - from)) * width, wide = ((range[1] - range[0]) / (until - from)) * width;
      brush.fillStyle = brush.strokeStyle = look.accent;
      brush.globalAlpha = 0.18;
      brush.fillRect(x, 0, wide, this.height - AXIS);
      brush.globalAlpha = 1;
      brush.strokeRect(x + 0.5, 0.5, wide, this.height - AXIS - 1);
    }
    this.drawOverview(width);
  }

  drawTime(brush, { from, until, width, look }) {
    const each = step(until - from, Math.max(2, width / 90)), y = this.height - AXIS;
    brush.font = "11px system-ui, sans-serif";
    brush.textBaseline = "top";
    for (let time = Math.ceil(from / each - 1e-9) * each; time <= until; time += each) {
      const x = ((time - from) / (until - from)) * width, label = clock(time, each < 1), wide = brush.measureText(label).width;
      brush.fillStyle = look.line;
      brush.globalAlpha = 0.5;
      brush.fillRect(Math.round(x), WAVE, 1, y - WAVE + 3);
      brush.globalAlpha = 1;
      brush.fillStyle = look.muted;
      brush.fillText(label, Math.min(width - wide, Math.max(0, x - wide / 2)), y + 6);
    }
  }

  // Bars in the colour of who speaks, in ink where several do, pale where nobody does.
  drawWave(brush, { from, until, width, look }) {
    const PITCH = 3, count = Math.max(1, Math.floor(width / PITCH)), each = (until - from) / count;
    const loud = this.waveform.bars(from, until, count), who = new Int32Array(count).fill(-1);
    const [first, beyond] = within(this.turns, from, until);
    for (let at = first; at < beyond; at++) {
      const begin = Math.max(0, Math.floor((this.turns.start[at] - from) / each)), end = Math.min(count, Math.ceil((this.turns.end[at] - from) / each));
      const lane = this.turns.lane[at];
      for (let bar = begin; bar < end; bar++) who[bar] = who[bar] === -1 || who[bar] === lane ? lane : -2;
    }
    for (let bar = 0; bar < count; bar++) {
      const high = Math.max(2, loud[bar] * (WAVE - 4));
      brush.fillStyle = who[bar] === -2 ? look.ink : who[bar] < 0 ? look.line : this.colors[who[bar]];
      brush.fillRect(bar * PITCH, (WAVE - high) / 2, PITCH - 1, high);
    }
  }

  drawOverview(width) {
    const [brush] = this.brush(this.over, OVERVIEW), whole = { from: 0, until: this.duration, width, look: this.look };
    brush.fillStyle = this.look.lane;
    brush.fillRect(0, 0, width, OVERVIEW);
    brush.save();
    brush.scale(1, OVERVIEW / (LANE - 4));
    drawTurns(brush, this.turns, this.names.map((name) => (name === null ? undefined : -2)), this.colors, whole);
    brush.restore();
    const [from, until] = this.view;
    this.window.hidden = until - from > this.duration - 1e-6;
    this.window.style.left = `${(from / this.duration) * 100}%`;
    this.window.style.width = `max(6px, ${((until - from) / this.duration) * 100}%)`;
  }

  // Words: those of a minute before to a minute after are in the page, a paragraph for each turn.

  async highlight(time) {
    const PART = 60, part = Math.floor(time / PART), near = [part - 1, part, part + 1].filter((each) => each >= 0);
    for (const each of near) {
      if (this.texts.has(each)) continue;
      this.texts.set(each, []);
      this.link.ask("words", { start: each * PART, end: (each + 1) * PART })
        .then(({ words }) => { this.texts.set(each, words); this.spell = null; this.refresh(); }, (error) => this.say(error.message));
    }
    if (this.spell !== part) this.write(near.flatMap((each) => this.texts.get(each)));
    this.spell = part;
    let now = above(this.spoken.starts, time) - 1;
    if (now >= 0 && time > this.spoken.ends[now] + 0.3) now = -1;
    if (now === this.spoken.now) return;
    this.spoken.nodes[this.spoken.now]?.classList.remove("now");
    this.spoken.now = now;
    const node = this.spoken.nodes[now];
    if (!node) return;
    node.classList.add("now");
    const top = node.parentElement.offsetTop + node.offsetTop, box = this.words;
    if (top < box.scrollTop || top + node.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - 26;
  }

  write(words) {
    this.spoken = { starts: words.map((word) => word[0]), ends: words.map((word) => word[1]), nodes: [], now: -1 };
    const paragraphs = [];
    let last;
    for (const [start, end, text] of words) {
      const speaking = this.speaking((start + end) / 2), at = speaking.length ? speaking[speaking.length - 1] : -1;
      const lane = at < 0 ? null : this.turns.lane[at];
      if (!paragraphs.length || (lane !== last && lane !== null)) {
        const name = make("b", {}, make("bdi", {}, lane === null ? "" : this.names[lane]));
        name.style.borderColor = lane === null ? "transparent" : this.colors[lane];
        paragraphs.push(make("p", {}, name));
        last = lane;
      }
      const node = make("span", { onclick: () => this.seek(start) }, text);
      this.spoken.nodes.push(node);
      paragraphs[paragraphs.length - 1].append(node, " ");
    }
    this.words.replaceChildren(...paragraphs);
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.late);
    this.transport.close();
    this.waveform?.close();
    this.link.close();
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
