// A page that was sent: a click on a lane or on what was said goes to the sound, and what is heard is marked.

const sound = document.querySelector("audio");
const parts = [...document.querySelectorAll("main section")];
const starts = parts.map((part) => Number(part.dataset.start));

const go = (time) => {
  sound.currentTime = time;
  sound.play();
};

for (const lane of document.querySelectorAll("svg.play")) {
  lane.addEventListener("click", (event) => {
    const box = lane.getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * Number(lane.dataset.duration));
  });
}
document.querySelector("main").addEventListener("click", (event) => {
  const from = event.target.closest("[data-start]");
  if (from && !String(window.getSelection())) go(Number(from.dataset.start));
});
sound.addEventListener("timeupdate", () => {
  const now = starts.findLastIndex((start) => start <= sound.currentTime + 0.05);
  for (const [at, part] of parts.entries()) part.classList.toggle("now", at === now && !sound.paused);
});
