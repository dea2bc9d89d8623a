// What a static page needs so that widgets work beside the theme's icons and formulas, with no kernel and no network,
// and so that a screen reader can name every control, the theme's too.
(() => {
  // The theme's icon script replaces <i> by <svg>; widgets.Play keeps hold of its <i>, so put the picture inside it.
  if (window.FontAwesome) FontAwesome.config.autoReplaceSvg = "nest";

  // Widgets typeset their text through MathJax 2's queue; the book has MathJax 3, which replaces window.MathJax.
  let mathjax = window.MathJax;
  let queue = new Promise((done) => addEventListener("load", done));
  const hub = {Queue: ([, , element]) => {
    queue = queue.then(() => mathjax.startup.promise).then(() => mathjax.typesetPromise([element]));
  }};
  Object.defineProperty(window, "MathJax", {get: () => mathjax, set: (value) => { mathjax = Object.assign(value, {Hub: hub}); }});

  // A book opened from the disk may not read its other pages: the search then lists them without an excerpt.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS === "object") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // Names are set again after every change of the page; `set` writes only what differs, so this comes to rest.
  const set = (element, name, value) => element.getAttribute(name) === value || element.setAttribute(name, value);
  const each = (selector, change) => document.querySelectorAll(selector).forEach(change);
  const names = ["Play or pause", "Stop and go to the first", "Repeat"];

  function label() {
    each(".widget-play", (play) => play.querySelectorAll("button").forEach((button, k) => {
      set(button, "aria-label", names[k]);
      set(button, "title", names[k]);
    }));
    each(".widget-slider", (slider) => {
      const handle = slider.querySelector("[role=slider]"), readout = slider.querySelector(".widget-readout");
      if (!handle) return;
      set(handle, "aria-label", slider.querySelector(".widget-label")?.textContent || "value");
      if (readout) {                       // it shows a frame's name, which cannot be typed
        set(handle, "aria-valuetext", readout.textContent);
        set(readout, "contenteditable", "false");
      }
      slider.querySelector(".widget-label")?.removeAttribute("title");
    });
    // The theme: names that contradict what is seen, a summary without words, a sidebar that is no landmark; and a role
    // in the list of references that no longer exists.
    each(".search-button-field, details.hide > summary", (element) => element.removeAttribute("aria-label"));
    each(".theme-switch-button svg", (icon) => { set(icon, "aria-hidden", "true"); icon.querySelector("title")?.remove(); });
    each(".bd-links summary", (summary) => set(summary, "aria-label", "Show or hide the pages below"));
    each(".citation-list > .citation", (entry) => set(entry, "role", "listitem"));
    each(".bd-sidebar-primary", (sidebar) => { set(sidebar, "role", "navigation"); set(sidebar, "aria-label", "Book"); });
  }
  addEventListener("DOMContentLoaded", () => {
    label();
    new MutationObserver(label).observe(document.body, {subtree: true, childList: true, attributeFilter: ["aria-valuetext", "aria-label"]});
  });
})();
