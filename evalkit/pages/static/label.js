// Keys of the labelling page: each presses the button, or follows the link, that says so; all work without this.
"use strict";
(() => {
  let sent = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || sent) return;
    if (event.target.matches("input, select, textarea")) return;
    const key = event.key.toLowerCase();
    for (const place of document.querySelectorAll("[data-key]")) {
      if (place.dataset.key !== key) continue;
      event.preventDefault();
      place.click();
      return;
    }
  });
  for (const form of document.querySelectorAll("form.answers")) {
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
    });
  }
  // A page that the browser kept is asked for again: its sample may have a label by now
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
