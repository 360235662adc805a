// The bar below the lanes: what can be done to the turn, the stretch or the voice that is selected.

import { make, swatch, worded } from "../elements.js";
import { clock } from "./arithmetic.js";

// A menu of voices; what is chosen is done at once.
function voiceMenu(player, label, taken, done, { fresh = true, first = label } = {}) {
  const options = player.voices().filter((lane) => lane !== taken).map((lane) => make("option", { value: lane }, player.names[lane]));
  if (fresh) options.push(make("option", { value: -1 }, "a new speaker"));
  const select = make("select", { "aria-label": label, title: label, onchange: () => { if (select.value !== "") done(Number(select.value)); } },
    make("option", { value: "" }, first), ...options);
  select.style.maxWidth = "170px";
  return select;
}

// A field in which one word is written otherwise.
function writeWord(player, [start, end, was]) {
  const input = make("input", { "aria-label": "How it is written", maxlength: 200, spellcheck: "true" });
  input.value = was;
  const write = () => {
    const text = input.value.trim();
    if (text && text !== was) { player.choose(null); player.edit({ what: "word", start, end, was, text }); }
  };
  input.onkeydown = (event) => { if (event.key === "Enter") write(); };
  return [input, worded("correct", write, "Write this word so, here and in what is exported")];
}

export function fillBar(player, naming) {
  const { selected } = player, at = player.turnAt(), text = (words) => make("span", {}, words);
  const chosen = player.chosen();
  if (chosen.length > 1) {
    const places = chosen.map((id) => player.turns.id.indexOf(id)), lanes = new Set(places.map((place) => player.turns.lane[place]));
    const seconds = places.reduce((sum, place) => sum + player.turns.end[place] - player.turns.start[place], 0);
    player.bar.replaceChildren(text(`${chosen.length} turns, ${clock(seconds)}`),
      voiceMenu(player, "Who speaks in these turns (1 … 9)", lanes.size === 1 ? [...lanes][0] : null,
        (to) => player.edit({ what: "reassign", turns: chosen, to }), { first: "all of them are …" }),
      worded("delete", () => player.edit({ what: "delete", turns: chosen }), "Delete these turns (Del)"));
  } else if (at >= 0) {
    const { start, end, lane } = player.turns, id = [selected.turn];
    player.bar.replaceChildren(swatch(player.colors[lane[at]], player.rounds[lane[at]]),
      text(`${clock(start[at])} – ${clock(end[at])}`),
      voiceMenu(player, "Who speaks in this turn (1 … 9)", lane[at], (to) => player.edit({ what: "reassign", turns: id, to }), { first: player.names[lane[at]] }),
      voiceMenu(player, "Who speaks from the playhead on (X)", lane[at], (to) => player.cut(to), { first: "from here on …" }),
      worded("starts here", () => player.edit({ what: "move", turns: id, start: player.transport.time, end: player.turns.end[player.turnAt()] }), "Move its start to the playhead ([)"),
      worded("ends here", () => player.edit({ what: "move", turns: id, start: player.turns.start[player.turnAt()], end: player.transport.time }), "Move its end to the playhead (])"),
      worded("delete", () => player.edit({ what: "delete", turns: id }), "Delete this turn (Del)"));
  } else if (selected?.range) {
    const [start, end] = selected.range, before = player.speaking(start + 0.01).filter((turn) => player.turns.start[turn] < start).pop();
    player.bar.replaceChildren(text(`${clock(start)} – ${clock(end)}`),
      voiceMenu(player, "Who speaks in this stretch", null, (to) => player.edit({ what: "select", start, end, voice: null, to }), { first: "all of it is …" }),
      ...(before === undefined ? [] : [voiceMenu(player, "Split the turn: who speaks from here on", player.turns.lane[before], (to) => player.edit({
        what: "select", start, end: player.turns.end[before], voice: player.turns.lane[before], to }), { first: "from here on …" })]),
      ...(selected.word ? writeWord(player, selected.word) : []),
      voiceMenu(player, "Add a turn of", null, (to) => player.edit({ what: "add", start, end, to }), { first: "add a turn of …" }),
      worded("play", () => { player.loops = true; player.tune(); player.seek(start); player.transport.play(); }, "Play this stretch in a loop"));
  } else if (selected?.voice !== undefined) {
    const { voice } = selected, twin = player.voices().find((lane) => lane !== voice && player.names[lane] === player.names[voice]);
    const input = make("input", { "aria-label": "Name", maxlength: 200, spellcheck: "false" });
    input.value = player.names[voice];
    const rename = () => { if (input.value.trim() && input.value !== player.names[voice]) player.edit({ what: "rename", voice, name: input.value.trim() }); };
    input.onkeydown = (event) => { if (event.key === "Enter") { rename(); player.stage.focus(); } };
    const merge = (to) => player.edit({ what: "merge", voice, to });
    player.bar.replaceChildren(swatch(player.colors[voice], player.rounds[voice]), input, worded("rename", rename),
      ...(twin === undefined ? [] : [text("Two speakers have this name."), worded("make them one", () => merge(twin))]),
      voiceMenu(player, "Merge into", voice, merge, { fresh: false, first: "merge into …" }),
      worded(player.solo === voice ? "play all" : "play only this", () => { player.alone(voice); player.choose(player.selected); }, "Play nobody else (S)"),
      worded("split here", () => player.edit({ what: "split", voice, start: player.transport.time }), "From the playhead on, this voice is a new speaker's"));
    if (naming) { input.focus(); input.select(); }
  }
}
