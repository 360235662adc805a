// The pointer: a click seeks and selects, a drag selects a stretch, or moves an edge of the selected turn.

import { clock, within } from "./arithmetic.js";
import { LANE } from "./drawing.js";

function timeAt(player, event) {
  const box = player.stage.getBoundingClientRect(), [from, until] = player.view;
  return Math.min(player.duration, Math.max(0, from + ((event.clientX - box.left) / box.width) * (until - from)));
}

function turnUnder(player, event) {
  const box = player.stage.getBoundingClientRect(), y = event.clientY - box.top, time = timeAt(player, event);
  const near = (2 * (player.view[1] - player.view[0])) / box.width;
  for (const [turns, place] of [[player.turns, player.place], [player.reference?.turns, player.places]]) {
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

function edgeUnder(player, event) {
  const at = player.turnAt();
  if (at < 0) return null;
  const box = player.stage.getBoundingClientRect(), y = event.clientY - box.top, top = player.place[player.turns.lane[at]];
  if (y < top || y > top + LANE) return null;
  const near = (6 * (player.view[1] - player.view[0])) / box.width, time = timeAt(player, event);
  const [start, end] = [Math.abs(time - player.turns.start[at]), Math.abs(time - player.turns.end[at])];
  return Math.min(start, end) > near ? null : start < end ? "start" : "end";
}

export function pressPointer(player, event) {
  if (event.button !== 0) return;
  player.stage.focus({ preventScroll: true });
  player.stage.setPointerCapture(event.pointerId);
  const began = timeAt(player, event), x = event.clientX, edge = edgeUnder(player, event), at = player.turnAt();
  const times = at >= 0 ? [player.turns.start[at], player.turns.end[at]] : null;
  const move = (next) => {
    const time = timeAt(player, next);
    if (Math.abs(next.clientX - x) < 4 && !player.drag) return;
    if (edge) {
      const moved = edge === "start" ? [Math.min(time, times[1] - 0.02), times[1]] : [times[0], Math.max(time, times[0] + 0.02)];
      player.drag = { range: moved, edge };
    } else player.drag = { range: [Math.min(began, time), Math.max(began, time)] };
    player.redraw();
  };
  const end = (last) => {
    player.stage.removeEventListener("pointermove", move);
    player.stage.removeEventListener("pointerup", end);
    player.stage.removeEventListener("pointercancel", end);
    const drag = player.drag;
    player.drag = null;
    if (last.type === "pointercancel") { player.redraw(); return; }
    if (drag?.edge) player.edit({ what: "move", turns: [player.turns.id[at]], start: drag.range[0], end: drag.range[1] });
    else if (drag) player.choose({ range: drag.range });
    else {
      const hit = turnUnder(player, last);
      if ((last.shiftKey || last.ctrlKey || last.metaKey) && hit?.turns === player.turns) {
        const id = player.turns.id[hit.at], chosen = player.chosen(), left = chosen.filter((each) => each !== id);
        const [turn, ...more] = left.length < chosen.length ? left : [...left, id];
        player.choose(turn === undefined ? null : { turn, more });
        return;
      }
      player.choose(hit?.turns === player.turns ? { turn: player.turns.id[hit.at] } : null);
      player.seek(began);
    }
  };
  player.stage.addEventListener("pointermove", move);
  player.stage.addEventListener("pointerup", end);
  player.stage.addEventListener("pointercancel", end);
}

export function movePointer(player, event) {
  const hit = turnUnder(player, event), box = player.stage.getBoundingClientRect();
  player.stage.style.cursor = edgeUnder(player, event) ? "ew-resize" : hit?.turns === player.turns ? "pointer" : "text";
  let text = clock(timeAt(player, event));
  if (hit) {
    const { turns, at } = hit, names = turns === player.turns ? player.names : player.reference.names;
    text = `${names[turns.lane[at]]}  ${clock(turns.start[at])} – ${clock(turns.end[at])}${turns.sure[at] > 100 ? "" : `  ·  ${turns.sure[at]}% sure`}`;
  }
  player.tip.hidden = false;
  player.tip.textContent = text;
  const left = event.clientX - box.left, y = event.clientY - box.top;
  player.tip.style.left = `${Math.max(0, Math.min(left + 12, box.width - player.tip.offsetWidth))}px`;
  player.tip.style.top = `${y > 30 ? y - 28 : y + 20}px`;
}

export function turnWheel(player, event) {
  const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
  if (!event.ctrlKey && !event.metaKey && !sideways) return;  // that is for the notebook
  event.preventDefault();
  if (!sideways) { player.zoom(Math.exp(event.deltaY * 0.005), timeAt(player, event)); return; }
  const by = ((event.deltaX || event.deltaY) / player.stage.clientWidth) * (player.view[1] - player.view[0]);
  player.show(player.view[0] + by, player.view[1] + by);
}
