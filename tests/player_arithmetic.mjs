// Run by test_widget_player.py under node: what the player's module works out without a page.

import assert from "node:assert/strict";
import { above, clock, jump, loudest, plan, step, stretched, stretches, unpack, within } from "../diarnb/widgets/frontend/player/arithmetic.js";

function packed(rows, ids = 4) {
  const count = rows.length, bytes = new ArrayBuffer(4 + (11 + ids) * count);
  new Uint32Array(bytes, 0, 1)[0] = count;
  rows.forEach(([start, end, lane], at) => {
    new Uint32Array(bytes, 4, count)[at] = start * 10000;
    new Uint32Array(bytes, 4 + 4 * count, count)[at] = end * 10000;
    if (ids) new Int32Array(bytes, 4 + 8 * count, count)[at] = at + 100;
    new Uint16Array(bytes, 4 + (8 + ids) * count, count)[at] = lane;
    new Uint8Array(bytes, 4 + (10 + ids) * count, count)[at] = 50 + at;
  });
  return unpack(new DataView(bytes));
}

const turns = packed([[0, 2, 0], [1, 10, 1], [3, 4, 0], [12, 13, 1], [20, 21.5, 0]]);

const facts = {
  "times are written as clocks"() {
    assert.equal(clock(83.25), "1:23.3");
    assert.equal(clock(59.96), "1:00.0");
    assert.equal(clock(3600), "1:00:00.0");
    assert.equal(clock(59.9, false), "0:59");
  },
  "what Python packed is unpacked"() {
    assert.deepEqual([...turns.id], [100, 101, 102, 103, 104]);
    assert.deepEqual([turns.start[4], turns.end[4], turns.lane[4], turns.sure[4]], [20, 21.5, 0, 54]);
    const { id, lane, sure } = packed([[0, 2, 7], [1, 10, 1]], 0);
    assert.deepEqual([[...id], [...lane], [...sure]], [[0, 1], [7, 1], [50, 51]]);
    assert.equal(packed([]).count, 0);
  },
  "the first place above a value is found"() {
    assert.deepEqual([-1, 0, 1, 3, 9].map((value) => above([0, 1, 1, 3], value)), [0, 1, 3, 4, 4]);
  },
  "a long turn that began before the view is in it"() {
    assert.deepEqual(within(turns, 9, 11), [1, 3]);
    assert.deepEqual(within(turns, 14, 15), [4, 4]);
  },
  "who speaks most in each part of the time is found"() {
    assert.deepEqual([...loudest(turns, 0, 22, 11, 2)], [0, 1, 1, 1, 1, -1, 1, -1, -1, -1, 0]);
    assert.deepEqual([...loudest(turns, 0, 22, 1, 2)], [1]);
    assert.deepEqual([...loudest(turns, 3, 4, 2, 2)], [0, 0]);  // as much as the other, who comes after
    assert.deepEqual([...loudest(turns, 14, 15, 3, 2)], [-1, -1, -1]);
  },
  "speech is played with its margins, joined where they meet"() {
    assert.deepEqual(stretches(turns, null, 0, 0), [[0, 10], [12, 13], [20, 21.5]]);
    assert.deepEqual(stretches(turns, 0, 0, 0), [[0, 2], [3, 4], [20, 21.5]]);
    assert.deepEqual(stretches(turns, 0, 0.5, 0.6), [[0, 4.6], [19.5, 22.1]]);
  },
  "all is played to the end, and then nothing"() {
    assert.deepEqual(plan(5, { duration: 30 }), [5, 30]);
    assert.equal(plan(30, { duration: 30 }), null);
  },
  "what is not wanted is skipped"() {
    const only = [[1, 2], [5, 9]];
    assert.deepEqual(plan(0, { duration: 30, only }), [1, 2]);
    assert.deepEqual(plan(1.5, { duration: 30, only }), [1.5, 2]);
    assert.deepEqual(plan(2, { duration: 30, only }), [5, 9]);
    assert.deepEqual(plan(6, { duration: 8, only }), [6, 8]);
    assert.deepEqual(plan(1, { duration: 8, only, until: 3 }), [1, 3]);  // a stretch that is to be heard alone
    assert.equal(plan(3, { duration: 8, until: 3 }), null);
    assert.equal(plan(9, { duration: 30, only }), null);
    assert.equal(plan(0, { duration: 30, only: [] }), null);
  },
  "a loop begins again at its end, from wherever one is"() {
    const loop = [3, 4];
    assert.deepEqual(plan(3.5, { duration: 30, loop }), [3.5, 4]);
    for (const time of [0, 4, 20]) assert.deepEqual(plan(time, { duration: 30, loop }), [3, 4]);
  },
  "one jumps to the next turn, the one before, and the next change of speaker"() {
    assert.equal(jump(turns, 0, 1), 1);
    assert.equal(jump(turns, 25, 1), -1);
    assert.equal(jump(turns, 12.3, -1), 2);
    assert.equal(jump(turns, 13, -1), 3);
    assert.equal(jump(turns, 0.2, -1), -1);
    assert.equal(jump(turns, 5, 1, { lane: 0 }), 4);
    assert.equal(jump(turns, 12.5, 1, { change: true }), 4);
    assert.equal(jump(turns, 3.2, 1, { change: true }), 3);
  },
  "speech that is faster or slower keeps its pitch, its loudness and its flow"() {
    const tone = (first, count) => Float32Array.from({ length: count }, (_, at) => Math.sin((2 * Math.PI * 200 * (first + at)) / 16000));
    for (const rate of [0.5, 0.75, 1.5, 2, 3]) {
      const flow = {}, parts = [];
      for (let chunk = 0; chunk < 4; chunk++) parts.push(stretched(tone, 16000 + chunk * 8000 * rate, 8000 * rate, rate, flow));
      const whole = Float32Array.from(parts.flatMap((part) => [...part]));
      assert.equal(whole.length, 32000, `${rate}`);
      let rises = 0, power = 0, leap = 0;
      for (let at = 1; at < whole.length; at++) {
        if (whole[at - 1] < 0 && whole[at] >= 0) rises++;
        power += whole[at] ** 2;
        leap = Math.max(leap, Math.abs(whole[at] - whole[at - 1]));
      }
      assert.ok(Math.abs(rises - 400) <= 3, `${rises} periods in 2 s at ${rate}`);
      assert.ok(Math.abs(power / whole.length - 0.5) < 0.03, `power ${power / whole.length} at ${rate}`);
      assert.ok(leap < 0.12, `a leap of ${leap} at ${rate}`);  // a sine of 200 Hz moves 0.08 from sample to sample
    }
  },
  "the ticks of time are round and few"() {
    assert.equal(step(10, 10), 1);
    assert.equal(step(14400, 8), 1800);
    assert.equal(step(1e9, 8), 86400);
  },
};

for (const [name, fact] of Object.entries(facts)) {
  fact();
  console.log(name);
}
