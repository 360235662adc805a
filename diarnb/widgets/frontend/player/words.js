// The words: paragraphs of one speaker, of which only those in sight are in the page. They are searched, clicked to hear
// them, and selected to say who speaks them.

import { make } from "../elements.js";
import { TICKS, above } from "./arithmetic.js";

const BLOCK = 40, NOBODY = 65535, LINE = 20, LETTER = 6.6;  // paragraphs that come at once; pixels, before one is measured

export class WordsPane {
  constructor(player) {
    this.player = player;
    this.turn = 0;  // counts the times that the paragraphs came anew
    this.count = 0;
    this.hits = [];
    this.sheet = make("div", { class: "sheet" });
    this.box = make("div", { class: "words", tabindex: "0", role: "group", "aria-label": "Words" }, this.sheet);
    this.input = make("input", { type: "search", placeholder: "Find (Ctrl F)", "aria-label": "Find in the words", maxlength: 200, spellcheck: "false",
      oninput: () => this.search() });
    this.found = make("span", { class: "muted", role: "status" });
    this.root = make("div", { class: "said" }, make("div", { class: "bar find" }, this.input, this.found), this.box);
    this.box.addEventListener("scroll", () => this.player.refresh());
    this.box.addEventListener("click", (event) => this.press(event));
    this.box.addEventListener("pointerup", () => this.pick());
    this.root.addEventListener("keydown", (event) => this.pressKey(event));
    this.sizes = new ResizeObserver(() => this.measureAnew());
    this.sizes.observe(this.box);
  }

  // Anew, because turns were corrected: speakers of words have changed.
  async load() {
    const turn = ++this.turn;
    let buffers;
    try { ({ buffers } = await this.player.link.ask("paragraphs")); } catch (error) { this.player.say(error.message); return; }
    if (turn !== this.turn || this.player.closed) return;
    const { buffer, byteOffset, byteLength } = buffers[0], bytes = buffer.slice(byteOffset, byteOffset + byteLength);
    this.count = byteLength / 8;
    this.starts = Float64Array.from(new Uint32Array(bytes, 0, this.count), (ticks) => ticks / TICKS);
    this.letters = new Uint16Array(bytes, 4 * this.count, this.count);
    this.lanes = new Uint16Array(bytes, 6 * this.count, this.count);
    this.blocks = new Map();
    this.nodes = new Map();
    this.sheet.replaceChildren();
    this.now = this.spot = null;
    this.measureAnew();
    if (this.input.value) this.search(false);
  }

  measureAnew() {
    if (!this.count || this.width === this.box.clientWidth) { this.player.refresh(); if (this.heights?.length === this.count) return; }
    this.width = this.box.clientWidth;
    const line = Math.max(8, (this.width - parseFloat(getComputedStyle(this.sheet).paddingLeft)) / LETTER);
    this.heights = Float64Array.from({ length: this.count }, (_, at) => Math.ceil(this.letters[at] / line) * LINE + 4);
    for (const node of this.nodes?.values() ?? []) node.remove();
    this.nodes = new Map();
    this.stack();
    this.player.refresh();
  }

  stack() {
    this.tops = new Float64Array(this.count + 1);
    for (let at = 0; at < this.count; at++) this.tops[at + 1] = this.tops[at] + this.heights[at];
    this.sheet.style.height = `${this.tops[this.count]}px`;
    for (const [at, node] of this.nodes) node.style.top = `${this.tops[at]}px`;
  }

  // The words of a paragraph, or null while they are on their way.
  words(at) {
    const block = Math.floor(at / BLOCK), there = this.blocks.get(block);
    if (there) return there[at - block * BLOCK] ?? null;
    if (there === undefined) {
      const turn = this.turn;
      this.blocks.set(block, null);
      this.player.link.ask("words", { first: block * BLOCK, beyond: (block + 1) * BLOCK }).then(({ words }) => {
        if (turn !== this.turn) return;
        this.blocks.set(block, words);
        this.player.refresh();
      }, (error) => this.player.say(error.message));
    }
    return null;
  }

  // What is in sight, with a screen above and below; called with every frame in which something has changed.
  draw() {
    if (!this.count || !this.box.clientHeight) return;
    const high = this.box.clientHeight, top = this.box.scrollTop;
    const first = Math.max(0, above(this.tops, top - high) - 1), beyond = Math.min(this.count, above(this.tops, top + 2 * high));
    const kept = document.getSelection();
    for (const [at, node] of this.nodes) {
      if (at >= first && at < beyond) continue;
      if (!kept.isCollapsed && kept.containsNode(node, true)) continue;
      node.remove();
      this.nodes.delete(at);
    }
    const fresh = [];
    for (let at = first; at < beyond; at++) {
      if (this.nodes.has(at)) continue;
      const words = this.words(at);
      if (words) fresh.push([at, this.write(at, words)]);
    }
    if (!fresh.length) return;
    for (const [at, node] of fresh) this.sheet.insertBefore(node, [...this.sheet.children].find((other) => Number(other.dataset.at) > at) ?? null);
    const seen = Math.max(0, above(this.tops, top) - 1), into = top - this.tops[seen];
    for (const [at, node] of fresh) this.heights[at] = node.offsetHeight + 4;
    this.stack();
    if (Math.abs(this.tops[seen] + into - top) > 1) this.box.scrollTop = this.tops[seen] + into;
    this.now = null;
    this.mark();
  }

  write(at, words) {
    const lane = this.lanes[at], { names, colors } = this.player, known = lane !== NOBODY && names[lane] !== null && names[lane] !== undefined;
    const node = make("p");
    node.dataset.at = at;
    node.style.top = `${this.tops[at]}px`;
    if (at === 0 || this.lanes[at - 1] !== lane) {
      const name = make("b", { title: known ? names[lane] : null }, make("bdi", {}, known ? names[lane] : ""));
      name.style.borderColor = known ? colors[lane] : "transparent";
      node.append(name);
    }
    words.forEach(([, , text], word) => {
      const span = make("span", {}, text);
      span.dataset.word = word;
      node.append(span, " ");
    });
    this.nodes.set(at, node);
    return node;
  }

  span(at, word) { return this.nodes.get(at)?.querySelector(`[data-word="${word}"]`); }

  // The word that is heard, which comes into sight when it is another than before.
  follow(time) {
    this.draw();
    if (!this.count) return;
    let at = above(this.starts, time) - 1, now = null;
    const words = at >= 0 ? this.words(at) : null;
    if (words) {
      const word = above(words.map(([start]) => start), time) - 1;
      if (word >= 0 && time <= words[word][1] + 0.3) now = `${at} ${word}`;
    }
    if (now === this.now) return;
    this.sheet.querySelector(".now")?.classList.remove("now");
    this.now = now;
    if (now === null) return;
    const moved = this.spoken !== now;
    this.spoken = now;
    const [paragraph, word] = now.split(" ").map(Number), span = this.span(paragraph, word);
    span?.classList.add("now");
    if (moved) this.reveal(paragraph, word);
  }

  // To the paragraph of a moment, though nothing may be said just then.
  look(time) { if (this.count) this.reveal(Math.max(0, above(this.starts, time) - 1), 0); }

  reveal(at, word) {
    const span = this.span(at, word), top = this.tops[at] + (span?.offsetTop ?? 0), high = span?.offsetHeight ?? LINE;
    if (top < this.box.scrollTop || top + high > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = Math.max(0, top - LINE);
    this.player.refresh();
  }

  press(event) {
    const span = event.target.closest("[data-word]");
    if (!span || !document.getSelection().isCollapsed) return;
    const [start] = this.words(Number(span.parentElement.dataset.at))[Number(span.dataset.word)];
    this.player.seek(start);
  }

  // What is selected as text is a stretch on the lanes, from the first word to the last.
  pick() {
    const selection = document.getSelection();
    if (selection.isCollapsed || !selection.rangeCount) return;
    const range = selection.getRangeAt(0);
    const picked = [...this.sheet.querySelectorAll("[data-word]")].filter((span) => range.intersectsNode(span) && selection.containsNode(span, true));
    if (!picked.length) return;
    const ends = [picked[0], picked[picked.length - 1]].map((span) => [Number(span.parentElement.dataset.at), Number(span.dataset.word)]);
    const [first, last] = ends.map(([at, word]) => this.words(at)[word]);
    this.player.choose({ range: [first[0], Math.max(last[1], first[0] + 0.02)], words: picked.length, word: picked.length === 1 ? first : null });
  }

  pressKey(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f") {
      this.input.focus();
      this.input.select();
    } else if (event.target === this.input && event.key === "Enter") this.go(event.shiftKey ? -1 : 1);
    else if (event.target === this.input && event.key === "Escape") { this.input.value = ""; this.search(); this.box.focus(); } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async search(moves = true) {
    const text = this.input.value.trim(), asked = {}, { turn } = this;
    this.asked = asked;
    const { hits } = text ? await this.player.link.ask("find", { text }).catch(() => ({ hits: [] })) : { hits: [] };
    if (asked !== this.asked || turn !== this.turn) return;
    this.hits = hits;
    this.spot = null;
    if (hits.length && moves) this.go(1); else this.mark();
  }

  // To the next place where it is said; the first time, the next one from the playhead on.
  go(by) {
    if (!this.hits.length) return;
    if (this.spot === null) {
      const here = above(this.starts, this.player.transport.time) - 1;
      this.spot = Math.max(0, this.hits.findIndex(([at]) => at >= here));
    } else this.spot = (this.spot + by + this.hits.length) % this.hits.length;
    const [at, word] = this.hits[this.spot];
    this.reveal(at, word);
    this.draw();
    this.reveal(at, word);
    this.mark();
  }

  mark() {
    const asked = this.input.value.trim();
    this.found.textContent = asked ? (this.hits.length ? `${this.spot === null ? "" : `${this.spot + 1} of `}${this.hits.length}` : "nowhere") : "";
    for (const span of this.sheet.querySelectorAll(".hit")) span.classList.remove("hit", "spot");
    this.hits.forEach(([at, word, count], number) => {
      for (let each = word; this.nodes.has(at) && each < word + count; each++) {
        this.span(at, each)?.classList.add("hit", ...(number === this.spot ? ["spot"] : []));
      }
    });
  }

  close() { this.turn++; this.sizes.disconnect(); }
}
