// Draws what is in view: waveform, lanes, differences, and the overview above them.

import { clock, loudest, step, within } from "./arithmetic.js";

export const LANE = 22, GAP = 4, WAVE = 64, STRIP = 12, AXIS = 20, HEADING = 22, OVERVIEW = 18;

export const THEMES = {
  light: { ink: "#1f2328", muted: "#656d76", lane: "#f0f1f3", line: "#c9ced6", accent: "#0072B2", page: "#ffffff" },
  dark: { ink: "#e6e8eb", muted: "#9ba1a9", lane: "#2a2d31", line: "#4a4f57", accent: "#56B4E9", page: "#17181a" },
};

// Front ends say it in different ways; without any, the system does.
export function theme() {
  const { body, documentElement: root } = document;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "true" ? "light" : "dark";
  if (body.dataset.vscodeThemeKind) return body.dataset.vscodeThemeKind.includes("light") ? "light" : "dark";
  if (root.getAttribute("theme")) return root.getAttribute("theme") === "dark" ? "dark" : "light";  // Colab
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

const DOUBTFUL = 60;  // percent; below, a turn is an outline

// The colour of a lane's outline: its own, or a darker one where it could hardly be told from the ground.
function outline(color, look) {
  const light = (hex) => [1, 3, 5].map((at) => (parseInt(hex.slice(at, at + 2), 16) / 255) ** 2.2)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const [ground, own] = [light(look.lane), light(color)];
  if ((Math.max(ground, own) + 0.05) / (Math.min(ground, own) + 0.05) >= 3) return color;
  return `color-mix(in srgb, ${color} 55%, ${look.ink})`;
}

// From the ninth voice on colours come again, with stripes, dots or a grid in them, as the timeline has them.
const hatches = new Map();
function hatch(brush, round, look) {
  const key = `${round}${look.page}`;
  if (!hatches.has(key)) {
    const tile = new OffscreenCanvas(6, 6), pen = tile.getContext("2d");
    pen.strokeStyle = pen.fillStyle = look.page;
    pen.lineWidth = 1.2;
    const line = (...[x, y, toX, toY]) => { pen.beginPath(); pen.moveTo(x, y); pen.lineTo(toX, toY); pen.stroke(); };
    if (round % 4 === 1 || round % 4 === 3) for (const shift of [-6, 0, 6]) line(shift, 6, shift + 6, 0);
    if (round % 4 === 2) pen.fillRect(2, 2, 2, 2);
    if (round % 4 === 3) for (const shift of [-6, 0, 6]) line(shift, 0, shift + 6, 6);
    if (round % 4 === 0) line(0, 3, 6, 3);
    hatches.set(key, brush.createPattern(tile, "repeat"));
  }
  return hatches.get(key);
}

// Draws what is in view and nothing else, so that it does not matter how many turns there are.
function drawTurns(brush, turns, place, colors, { from, until, width, selected, look, rounds = [] }) {
  const scale = width / (until - from), covered = {}, edges = colors.map((color) => outline(color, look));
  const [first, beyond] = within(turns, from, until);
  for (let at = first; at < beyond; at++) {
    if (turns.end[at] < from) continue;
    const lane = turns.lane[at], y = place[lane];
    if (y === undefined) continue;
    const left = Math.max(-4, (turns.start[at] - from) * scale), right = Math.min(width + 4, (turns.end[at] - from) * scale);
    if (right <= covered[lane]) continue;  // many turns within one pixel
    const wide = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
    covered[lane] = wide <= 1 ? left + 0.5 : -Infinity;
    const doubtful = turns.sure[at] < DOUBTFUL;
    brush.globalAlpha = doubtful && wide > 3 ? 0.3 : 1;
    brush.fillStyle = wide > 3 ? colors[lane] : edges[lane];
    brush.beginPath();
    if (wide > 6) brush.roundRect(left, y + 2, wide, LANE - 4, 3); else brush.rect(left, y + 2, wide, LANE - 4);
    brush.fill();
    brush.globalAlpha = 1;
    if (rounds[lane] && wide > 6) { brush.fillStyle = hatch(brush, rounds[lane], look); brush.fill(); }
    if (wide > 3 && (doubtful || edges[lane] !== colors[lane])) {
      brush.lineWidth = doubtful ? 1.5 : 1;
      brush.strokeStyle = edges[lane];
      brush.beginPath();
      brush.roundRect(left + 0.5, y + 2.5, wide - 1, LANE - 5, Math.min(3, wide / 3));
      brush.stroke();
    }
    if (selected?.includes(turns.id[at])) {
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

function prepareCanvas(player, canvas, height) {
  const scale = devicePixelRatio || 1, width = player.stage.clientWidth;
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

export function drawView(player) {
  player.stale = false;
  const [from, until] = player.view, { look, turns, colors } = player;
  const [brush, width] = prepareCanvas(player, player.canvas, player.height);
  const frame = { from, until, width, look, selected: player.chosen(), rounds: player.rounds };
  const lanes = (places) => places.forEach((y) => { if (y !== undefined) { brush.fillStyle = look.lane; brush.beginPath(); brush.roundRect(0, y + 2, width, LANE - 4, 3); brush.fill(); } });
  lanes(player.place);
  lanes(player.places);
  drawTime(player, brush, frame);
  drawWave(player, brush, frame);
  drawTurns(brush, turns, player.place, colors, frame);
  if (player.reference) {
    drawTurns(brush, player.reference.turns, player.places, player.reference.colors, { ...frame, selected: null, rounds: player.reference.rounds });
    drawDifferences(brush, player.reference.found, player.strip, frame);
  }
  const range = player.drag?.range ?? player.selected?.range;
  if (range) {
    const x = ((range[0] - from) / (until - from)) * width, wide = ((range[1] - range[0]) / (until - from)) * width;
    brush.fillStyle = brush.strokeStyle = look.accent;
    brush.globalAlpha = 0.18;
    brush.fillRect(x, 0, wide, player.height - AXIS);
    brush.globalAlpha = 1;
    brush.strokeRect(x + 0.5, 0.5, wide, player.height - AXIS - 1);
  }
  drawOverview(player, width);
}

function drawTime(player, brush, { from, until, width, look }) {
  const each = step(until - from, Math.max(2, width / 90)), y = player.height - AXIS;
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

// Bars in the colour of who speaks most, in ink where several do at once, pale where nobody does.
function drawWave(player, brush, { from, until, width, look }) {
  const PITCH = 3, count = Math.max(1, Math.floor(width / PITCH)), each = (until - from) / count;
  const loud = player.waveform.bars(from, until, count), who = loudest(player.turns, from, until, count, player.names.length);
  const [first, beyond] = within(player.turns, from, until), seen = new Int32Array(count).fill(-1);
  if (each < 0.5) {  // else nearly every bar would hold several voices
    for (let at = first; at < beyond; at++) {
      const begin = Math.max(0, Math.floor((player.turns.start[at] - from) / each)), end = Math.min(count, Math.ceil((player.turns.end[at] - from) / each));
      const lane = player.turns.lane[at];
      for (let bar = begin; bar < end; bar++) {
        if (seen[bar] !== -1 && seen[bar] !== lane) who[bar] = -2;
        seen[bar] = lane;
      }
    }
  }
  for (let bar = 0; bar < count; bar++) {
    const high = Math.max(2, loud[bar] * (WAVE - 4));
    brush.fillStyle = who[bar] === -2 ? look.ink : who[bar] < 0 ? look.line : player.colors[who[bar]];
    brush.fillRect(bar * PITCH, (WAVE - high) / 2, PITCH - 1, high);
  }
}

function drawOverview(player, width) {
  const [from, until] = player.view, { turns, look } = player, scale = devicePixelRatio, shown = player.overviewed;
  player.window.hidden = until - from > player.duration - 1e-6;
  player.window.style.left = `${(from / player.duration) * 100}%`;
  player.window.style.width = `max(6px, ${((until - from) / player.duration) * 100}%)`;
  if (shown?.turns === turns && shown.look === look && shown.width === width && shown.scale === scale) return;  // the view has moved
  player.overviewed = { turns, look, width, scale };
  const [brush] = prepareCanvas(player, player.over, OVERVIEW), count = Math.max(1, Math.floor(width));
  brush.fillStyle = look.lane;
  brush.fillRect(0, 0, width, OVERVIEW);
  const most = loudest(turns, 0, player.duration, count, player.names.length);
  for (let at = 0, next; at < count; at = next) {
    for (next = at + 1; next < count && most[next] === most[at];) next++;
    if (most[at] < 0) continue;
    brush.fillStyle = player.colors[most[at]];
    brush.fillRect((at * width) / count, 0, ((next - at) * width) / count, OVERVIEW);
    if (player.rounds[most[at]]) {
      brush.fillStyle = hatch(brush, player.rounds[most[at]], look);
      brush.fillRect((at * width) / count, 0, ((next - at) * width) / count, OVERVIEW);
    }
  }
}
