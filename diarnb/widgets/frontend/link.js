// Questions to Python, and what it says without being asked.

export class Link {
  constructor(model, told) {
    this.model = model;
    this.waiting = new Map();
    this.next = Math.floor(Math.random() * 2 ** 50);  // several views of one model hear all answers
    this.heard = (message, buffers) => {
      if (message?.do) told(message, buffers);
      const question = this.waiting.get(message?.id);
      this.waiting.delete(message?.id);
      if (message?.error) question?.reject(Object.assign(new Error(message.error), { told: true }));
      else question?.resolve({ ...message, buffers: buffers ?? [] });
    };
    model.on("msg:custom", this.heard);
  }

  ask(name, content = {}) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.model.send({ id, ask: name, ...content });
    });
  }

  close() {
    this.closed = true;
    this.model.off("msg:custom", this.heard);
    this.waiting.clear();
  }
}

// A kernel that was restarted knows nothing of this page, and a page only hears that its line was cut.
export function watchKernel(model, say) {
  let alive = true;
  const changed = () => {
    alive = !alive;
    say(alive ? "" : "The kernel was restarted. Run this cell again; your corrections are kept.");
  };
  model.on("comm_live_update", changed);
  return () => model.off("comm_live_update", changed);
}
