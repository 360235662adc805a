// Plays: asks for slices of sound, and schedules them without a gap.

import { RATE, SLICE, plan, stretched } from "./arithmetic.js";

export class Transport {
  constructor(link, { changed, failed, ended }) {
    Object.assign(this, { link, changed, failed, ended, at: 0, playing: false, speed: 1, volume: 1, options: { duration: 0 } });
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
    if (!this.gain) {
      this.gain = new GainNode(this.context, { gain: this.volume });
      this.gain.connect(this.context.destination);
    }
    this.context.resume();
    this.playing = true;
    if (!plan(this.at, this.options)) this.at = 0;
    this.pump = setInterval(() => this.fill(), 100);
    this.restart(this.at);
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.value = volume;
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
          if (context.currentTime >= this.until) { this.pause(); this.at = this.options.until ?? this.options.duration; this.ended(); }
          break;
        }
        if (Math.abs(span[0] - this.next) > 1e-3) this.fresh = true;
        const to = Math.min(span[1], span[0] + 0.5 * this.speed), last = Math.floor((to + 0.1) / SLICE);
        const wanted = Promise.all([Math.floor(span[0] / SLICE), last].map((number) => this.slice(number)));
        await wanted;
        if (turn !== this.turn || !this.playing) return;
        this.schedule(span[0], to, to === span[1]);
        for (let ahead = 1; ahead <= 4; ahead++) this.slice(last + ahead).catch(() => {});  // and not before: they would be in the way
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
    source.connect(this.gain);
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
