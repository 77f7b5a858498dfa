import { useRef } from "preact/hooks";
import { keep } from "./store.js";

// A pane's width, changed by dragging or with the arrow keys, and remembered.
export function Divider({ name, label, sign, least, most }) {
  const bar = useRef(null);
  const pane = () => document.querySelector(name === "list" ? ".sidebar" : ".source");
  const resize = (width) => {
    const size = Math.round(Math.min(most, Math.max(least, width)));
    document.documentElement.style.setProperty(`--${name}-width`, `${size}px`);
    bar.current.setAttribute("aria-valuenow", size);
    keep(`${name} width`, size);
  };
  const drag = (down) => {
    const width = pane()?.getBoundingClientRect().width;
    if (!width) return;
    const move = (event) => resize(width + sign * (event.clientX - down.clientX));
    bar.current.setPointerCapture(down.pointerId);
    bar.current.addEventListener("pointermove", move);
    // Also where the pointer is taken away: a touch that becomes a scroll.
    bar.current.addEventListener("lostpointercapture", () => bar.current?.removeEventListener("pointermove", move), { once: true });
  };
  const key = (event) => {
    const by = { ArrowLeft: -24, ArrowRight: 24 }[event.key];
    if (by && pane()) resize(pane().getBoundingClientRect().width + sign * by);
  };
  const shown = parseInt(getComputedStyle(document.documentElement).getPropertyValue(`--${name}-width`), 10);
  return (
    <div
      class={`divider ${name}-edge`} role="separator" tabIndex={0} ref={bar} aria-label={label} aria-orientation="vertical"
      aria-valuenow={shown || least} aria-valuemin={least} aria-valuemax={most} onPointerDown={drag} onKeyDown={key}
    />
  );
}
