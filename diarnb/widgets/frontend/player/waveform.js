// The waveform at any resolution, of tiles that come from Python when they are looked at.

import { FACTOR, FINEST, TILE } from "./arithmetic.js";

export class Waveform {
  constructor(link, levels, changed) {
    Object.assign(this, { link, levels, changed, tiles: new Map(), gain: 1, timers: new Set(), problem: "" });
    this.fetch(levels - 1, 0);
  }

  async fetch(level, tile, pause = 300) {
    const key = `${level}/${tile}`, known = this.tiles.get(key) ?? new Int8Array(0);
    if (!this.tiles.has(key)) this.tiles.set(key, null);
    let answer;
    try { answer = await this.link.ask("peaks", { level, tile, first: known.length / 2 }); } catch (error) { this.problem = error.message; return; }
    const [view] = answer.buffers, more = view ? new Int8Array(view.buffer, view.byteOffset, view.byteLength) : [];
    const bins = new Int8Array(known.length + more.length);  // more come as long as the recording is read
    bins.set(known);
    bins.set(more, known.length);
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
