// Words: those of a minute before to a minute after are in the page, a paragraph for each turn.

import { make } from "../elements.js";
import { above } from "./arithmetic.js";

export async function highlightWord(player, time) {
  const PART = 60, part = Math.floor(time / PART), near = [part - 1, part, part + 1].filter((each) => each >= 0);
  for (const each of near) {
    if (player.texts.has(each)) continue;
    player.texts.set(each, []);
    player.link.ask("words", { start: each * PART, end: (each + 1) * PART })
      .then(({ words }) => { player.texts.set(each, words); player.spell = null; player.refresh(); }, (error) => player.say(error.message));
  }
  if (player.spell !== part) writeWords(player, near.flatMap((each) => player.texts.get(each)));
  player.spell = part;
  let now = above(player.spoken.starts, time) - 1;
  if (now >= 0 && time > player.spoken.ends[now] + 0.3) now = -1;
  if (now === player.spoken.now) return;
  player.spoken.nodes[player.spoken.now]?.classList.remove("now");
  player.spoken.now = now;
  const node = player.spoken.nodes[now];
  if (!node) return;
  node.classList.add("now");
  const top = node.parentElement.offsetTop + node.offsetTop, box = player.words;
  if (top < box.scrollTop || top + node.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - 26;
}

function writeWords(player, words) {
  player.spoken = { starts: words.map((word) => word[0]), ends: words.map((word) => word[1]), nodes: [], now: -1 };
  const paragraphs = [];
  let last;
  for (const [start, end, text] of words) {
    const speaking = player.speaking((start + end) / 2), at = speaking.length ? speaking[speaking.length - 1] : -1;
    const lane = at < 0 ? null : player.turns.lane[at];
    if (!paragraphs.length || (lane !== last && lane !== null)) {
      const name = make("b", {}, make("bdi", {}, lane === null ? "" : player.names[lane]));
      name.style.borderColor = lane === null ? "transparent" : player.colors[lane];
      paragraphs.push(make("p", {}, name));
      last = lane;
    }
    const node = make("span", { onclick: () => player.seek(start) }, text);
    player.spoken.nodes.push(node);
    paragraphs[paragraphs.length - 1].append(node, " ");
  }
  player.words.replaceChildren(...paragraphs);
}
