// What the player works out without a page; tests run it in node.

export const RATE = 16000, SLICE = 4, TICKS = 10000, TILE = 2048, FACTOR = 4, FINEST = 0.01;

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
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength), [count] = new Uint32Array(bytes, 0, 1);
  const lanes = bytes.byteLength - 3 * count, counted = lanes === 4 + 8 * count;  // ids are there where they do not just count
  const seconds = (from) => Float64Array.from(new Uint32Array(bytes, from, count), (ticks) => ticks / TICKS);
  const turns = { count, start: seconds(4), end: seconds(4 + 4 * count),
    id: counted ? Int32Array.from({ length: count }, (_, at) => at) : new Int32Array(bytes, 4 + 8 * count, count),
    lane: new Uint16Array(bytes, lanes, count), sure: new Uint8Array(bytes, lanes + 2 * count, count) };
  turns.reach = turns.end.slice();  // the latest end so far, which is sorted: all before it are over
  for (let at = 1; at < count; at++) turns.reach[at] = Math.max(turns.reach[at], turns.reach[at - 1]);
  return turns;
}

// The places of the first turn that is not over at a time, and of the first that begins at another or later.
export const within = (turns, from, until) => [above(turns.reach, from), above(turns.start, until)];

// The lane that speaks most in each of so many equal parts of a stretch of time, -1 where nobody does.
export function loudest(turns, from, until, count, lanes) {
  const each = (until - from) / count, seconds = new Float64Array(count * lanes), most = new Int32Array(count).fill(-1);
  const [first, beyond] = within(turns, from, until);
  for (let at = first; at < beyond; at++) {
    const start = Math.max(from, turns.start[at]), end = Math.min(until, turns.end[at]);
    for (let part = Math.floor((start - from) / each); part < count && from + part * each < end; part++) {
      seconds[part * lanes + turns.lane[at]] += Math.min(end, from + (part + 1) * each) - Math.max(start, from + part * each);
    }
  }
  for (let part = 0; part < count; part++) {
    let best = 0;
    for (let lane = 0; lane < lanes; lane++) {
      if (seconds[part * lanes + lane] > best + 1e-9) { best = seconds[part * lanes + lane]; most[part] = lane; }
    }
  }
  return most;
}

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
export function plan(time, { duration, loop = null, only = null, until = null }) {
  if (until !== null) return time < until - 1e-3 ? [time, until] : null;
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
