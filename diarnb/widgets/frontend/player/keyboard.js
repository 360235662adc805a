// Keys, and what they do.

export const KEYS = [
  ["Space", "play or pause"], ["← →", "2 seconds back or on"], ["Shift ← →", "a tenth of a second"], ["P N", "previous, next turn"],
  ["C", "next change of speaker"], ["S", "only this speaker"], ["G", "skip silence"], ["L", "loop this turn"], ["< >", "slower, faster"],
  ["+ −", "zoom"], ["0", "all in view"], ["1 … 9", "the turn is this speaker's"], ["[ ]", "it starts, ends here"],
  ["X", "from here on: a new voice"], ["Enter", "name its speaker"], ["Del", "delete it"], ["Ctrl Z, Y", "undo, redo"], ["Esc", "select nothing"],
  ["Shift click", "several turns"], ["↑ ↓", "in the list of turns (Tab)"], ["Ctrl F", "find, with the focus in the words"],
];

// Where a review stands beside the player, these answer it.
export const VERDICTS = [["Y", "right: this speaker speaks"], ["W", "wrong: somebody else does"], ["D", "next doubtful turn"], ["H", "hear it from a second before"]];

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

export function pressKey(player, event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === "Escape") { player.choose(null); player.stage.focus(); }
    return;
  }
  const control = event.ctrlKey || event.metaKey, at = player.turnAt(), now = player.transport.time;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const times = at >= 0 ? [player.turns.start[at], player.turns.end[at]] : null, id = at >= 0 ? player.chosen() : null, one = id?.length === 1;
  const onButton = event.target.tagName === "BUTTON" && (key === " " || key === "Enter");
  if (onButton || event.altKey) return;
  const keys = control ? {
    z: () => player.edit({ what: event.shiftKey ? "redo" : "undo" }), y: () => player.edit({ what: "redo" }),
  } : {
    " ": () => player.toggle(), k: () => player.toggle(),
    ArrowLeft: () => player.seek(now - (event.shiftKey ? 0.1 : 2)), ArrowRight: () => player.seek(now + (event.shiftKey ? 0.1 : 2)),
    Home: () => player.seek(0), End: () => player.seek(player.duration),
    n: () => player.go(1), p: () => player.go(-1), c: () => player.go(1, true),
    g: () => player.skipping.click(), l: () => player.loop(), s: () => player.alone(at >= 0 ? player.turns.lane[at] : player.solo),
    "<": () => player.pace(-1), ">": () => player.pace(1), "+": () => player.zoom(0.5), "=": () => player.zoom(0.5), "-": () => player.zoom(2),
    0: () => player.show(0, player.duration), "?": () => player.assist(), Escape: () => player.choose(null),
    Enter: () => { if (at >= 0) player.choose({ voice: player.turns.lane[at] }, true); },
  };
  if (one && !control) Object.assign(keys, {
    "[": () => player.edit({ what: "move", turns: id, start: now, end: times[1] }),
    "]": () => player.edit({ what: "move", turns: id, start: times[0], end: now }),
    x: () => player.cut(-1),
  });
  if (event.target === player.turnList) Object.assign(keys, {
    ArrowDown: () => player.walk(1), ArrowUp: () => player.walk(-1), PageDown: () => player.walk(10), PageUp: () => player.walk(-10),
    Home: () => player.walk(-Infinity), End: () => player.walk(Infinity),
  });
  if (id && !control) Object.assign(keys, { Delete: () => player.edit({ what: "delete", turns: id }), Backspace: () => player.edit({ what: "delete", turns: id }) });
  if (id && !control && /^[1-9]$/.test(key)) {
    const to = player.voices()[Number(key) - 1];
    if (to !== undefined) keys[key] = () => player.edit({ what: "reassign", turns: id, to });
  }
  if (!control && player.judges.includes(key)) keys[key] = () => player.judge(key);
  if (!Object.hasOwn(keys, key)) return;
  event.preventDefault();
  event.stopPropagation();
  keys[key]();
}
