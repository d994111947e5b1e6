// Adds to a report what needs a script: one phase at a time, and a walk along the packet's way. Without it all phases are there, one below
// the other, and every hop opens by itself.
"use strict";
(() => {
  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  class Walk {
    // Steps through the hops of one scene: the hop that is looked at is open, and lit in the picture.
    constructor(scene) {
      this.scene = scene;
      this.hops = [...scene.querySelectorAll(".hop")];
      this.at = -1;
      const stepper = scene.querySelector(".stepper");
      if (!stepper || !this.hops.length) return;
      stepper.hidden = false;
      this.position = stepper.querySelector(".position");
      this.position.textContent = `${this.hops.length} hops`;
      stepper.querySelector(".previous").addEventListener("click", () => this.go(this.at - 1));
      stepper.querySelector(".next").addEventListener("click", () => this.go(this.at + 1));
      scene.addEventListener("keydown", (event) => this.key(event));
      this.hops.forEach((hop, number) => hop.querySelector("summary").addEventListener("click", (event) => {
        event.preventDefault();
        if (number === this.at && hop.open) this.leave();
        else this.go(number, false);
      }));
      for (const element of scene.querySelectorAll("svg [data-hop]")) {
        element.addEventListener("click", () => {
          // Of a loop one round is drawn: a click goes on to the next round.
          const { trace, hop, again = "" } = element.dataset;
          const meant = new Set([hop, ...again.split(" ")]);
          const here = [...this.hops.keys()].filter((at) => this.hops[at].dataset.trace === trace && meant.has(this.hops[at].dataset.hop));
          const number = here.find((at) => at > this.at) ?? here[0];
          if (number !== undefined) this.go(number);
        });
      }
    }

    key(event) {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const steps = { ArrowRight: 1, ArrowLeft: -1 };
      if (event.key in steps) {
        event.preventDefault();
        this.go(this.at + steps[event.key]);
      } else if (event.key === "Home" || event.key === "End") {
        event.preventDefault();
        this.go(event.key === "Home" ? 0 : this.hops.length - 1);
      } else if (event.key === "Escape") {
        this.leave();
      }
    }

    leave() {
      this.light(null);
      if (this.at >= 0) {
        this.hops[this.at].open = false;
        this.hops[this.at].removeAttribute("aria-current");
      }
      this.at = -1;
      this.position.textContent = `${this.hops.length} hops`;
    }

    go(number, scroll = true) {
      if (number < 0 || number >= this.hops.length) return;
      for (const hop of this.hops) {
        hop.open = false;
        hop.removeAttribute("aria-current");
      }
      const hop = this.hops[number];
      this.at = number;
      hop.open = true;
      hop.setAttribute("aria-current", "step");
      const where = hop.querySelector(".where").textContent;
      this.position.textContent = `hop ${number + 1} of ${this.hops.length}: ${where}`;
      this.light(hop);
      this.follow();
      if (scroll) hop.scrollIntoView({ block: "nearest" });
    }

    follow() {
      // Where a picture is wider than the window, what is lit comes into sight.
      for (const picture of this.scene.querySelectorAll(".picture")) {
        const lit = [...picture.querySelectorAll(".lab-now")].map((element) => element.getBoundingClientRect());
        if (!lit.length) continue;
        const frame = picture.getBoundingClientRect();
        const left = Math.min(...lit.map((box) => box.left)), right = Math.max(...lit.map((box) => box.right));
        if (left < frame.left || right > frame.right) picture.scrollLeft += (left + right) / 2 - (frame.left + frame.right) / 2;
      }
    }

    light(hop) {
      for (const picture of this.scene.querySelectorAll("svg")) {
        picture.classList.toggle("stepping", hop !== null);
        for (const element of picture.querySelectorAll(".lab-now")) element.classList.remove("lab-now");
        if (!hop) continue;
        const { trace, hop: number } = hop.dataset;
        const drawn = `[data-trace="${trace}"]:is([data-hop="${number}"], [data-again~="${number}"])`;
        for (const element of picture.querySelectorAll(drawn)) element.classList.add("lab-now");
      }
    }
  }

  const edges = (picture) => {
    picture.classList.toggle("more-left", picture.scrollLeft > 1);
    picture.classList.toggle("more-right", picture.scrollLeft + picture.clientWidth < picture.scrollWidth - 1);
  };
  const widths = new ResizeObserver((entries) => entries.forEach((entry) => edges(entry.target)));
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("scroll", () => edges(picture), { passive: true });
    widths.observe(picture);
  }

  const show = (story, scene) => {
    const left = story.querySelector(".scene.current .picture")?.scrollLeft;
    for (const other of story.querySelectorAll(".scene")) other.classList.toggle("current", other === scene);
    const picture = scene.querySelector(".picture");
    if (left && picture) picture.scrollLeft = left;
  };

  document.querySelectorAll(".story").forEach((story, count) => {
    const scenes = [...story.querySelectorAll(".scene")];
    const bar = story.querySelector(".switch");
    const first = scenes.find((scene) => "first" in scene.dataset) ?? scenes[0];
    for (const scene of scenes) {
      const radio = make("input", { type: "radio", name: `phase-${count}`, value: scene.id });
      radio.checked = scene === first;
      radio.addEventListener("change", () => show(story, scene));
      bar.append(make("label", { class: scene.dataset.mood }, radio, make("span", {}, scene.dataset.name)));
      new Walk(scene);
    }
    bar.hidden = scenes.length < 2;
    bar.setAttribute("role", "radiogroup");
    show(story, first);
  });

  document.documentElement.classList.add("js");
})();
