"use strict";
// Two pictures that lie on each other, and a line between them: by mouse, finger and keys, or both in turn.
globalThis.Divider = class {
  // stage: has all. over: the upper picture, seen to the left of the line. line: its handle. left, right: names.
  // tapped(x, y): told in 0..1 where the stage was pressed without a drag; without it a press moves the line there.
  constructor({ stage, over, line, left, right, button, tapped = null }) {
    Object.assign(this, { stage, over, line, left, right, button, share: 50, only: "", timer: 0 });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    let began = null;
    const at = event => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    stage.addEventListener("pointerdown", event => {
      if (event.button) return;
      began = { x: event.clientX, drags: !tapped || line.contains(event.target) };
      if (this.only && !tapped) { began = null; return; }
      stage.setPointerCapture(event.pointerId);
      if (began.drags && !line.contains(event.target)) this.moveTo(100 * at(event)[0]);
    });
    stage.addEventListener("pointermove", event => {
      if (!began || !stage.hasPointerCapture(event.pointerId)) return;
      began.drags ||= Math.abs(event.clientX - began.x) > 4;
      if (began.drags && !this.only) { began.moved = true; this.moveTo(100 * at(event)[0]); }
    });
    stage.addEventListener("pointerup", event => {
      if (began && !began.drags && tapped) tapped(...at(event));
      began = null;
    });
    stage.addEventListener("dragstart", event => event.preventDefault());  // else the browser takes the picture away
    stage.addEventListener("pointercancel", () => { began = null; });
    line.addEventListener("keydown", event => {
      const step = event.shiftKey ? 10 : 2, share = this.share;
      const to = { ArrowLeft: share - step, ArrowDown: share - step, ArrowRight: share + step, ArrowUp: share + step, Home: 0, End: 100 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.moveTo(to);
    });
    button.addEventListener("click", () => this.blink());
    document.addEventListener("keydown", event => {
      const typing = event.target.matches("input, select, textarea");
      if (event.key === "b" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && stage.checkVisibility()) this.blink();
    });
    this.place();
  }

  moveTo(share) { this.share = Math.min(100, Math.max(0, share)); this.place(); }

  place() {
    const cut = this.only === "left" ? 100 : this.only === "right" ? 0 : this.share;
    this.over.style.clipPath = `inset(0 ${100 - cut}% 0 0)`;
    this.line.style.left = `${this.share}%`;
    this.line.hidden = Boolean(this.only);
    this.left.hidden = this.only === "right";
    this.right.hidden = this.only === "left";
    this.line.setAttribute("aria-valuenow", Math.round(this.share));
    this.line.setAttribute("aria-valuetext", `${Math.round(this.share)} % ${this.left.textContent}, the rest ${this.right.textContent}`);
  }

  // Where motion is not wanted, each press shows the other one, and the third ends it.
  blink() {
    if (this.still.matches) this.only = this.only === "" ? "left" : this.only === "left" ? "right" : "";
    else if (this.timer) { this.rest(); return; }
    else { this.only = "left"; this.timer = setInterval(() => { this.only = this.only === "left" ? "right" : "left"; this.place(); }, 700); }
    this.button.setAttribute("aria-pressed", String(Boolean(this.only)));
    this.place();
  }

  rest() {
    clearInterval(this.timer);
    this.timer = 0;
    this.only = "";
    this.button.setAttribute("aria-pressed", "false");
    this.place();
  }
};
