// Charts that answer to the pointer, in place of their drawings; everything on a page is there without this.
"use strict";
(() => {
  const INKS = {
    "#010101": "mark", "#020202": "other", "#030303": "limit", "#040404": "track", "#050505": "ink",
    "#060606": "soft", "#070707": "warn", "#080808": "band",
  };
  let engine = null;

  function load(address) {
    engine ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    return engine;
  }

  function coloured(specification) {
    const style = getComputedStyle(document.documentElement);
    return JSON.parse(
      specification.replace(/"(#0[1-8]0[1-8]0[1-8])"/g, (_, ink) => `"${style.getPropertyValue(`--${INKS[ink]}`).trim()}"`)
    );
  }

  async function draw(canvas) {
    const [answer] = await Promise.all([fetch(canvas.dataset.chart), load(canvas.dataset.vega)]);
    if (!answer.ok) return; // the drawing stays
    const specification = coloured(await answer.text());
    const place = document.createElement("div");
    await window.vegaEmbed(place, specification, {
      ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true },
    });
    const picture = canvas.querySelector("img");
    place.querySelector("svg").setAttribute("aria-hidden", "true"); // the place has the words, its marks have none
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", picture ? picture.alt : canvas.dataset.label);
    canvas.dataset.label = place.getAttribute("aria-label");
    canvas.replaceChildren(place);
    widths.observe(canvas);
  }

  // What has to be scrolled must be reached by keyboard
  const widths = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target).catch(() => {}); // the drawing stays
    }
  });
  const all = document.querySelectorAll("[data-chart]");
  all.forEach((canvas) => seen.observe(canvas));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all.forEach((canvas) => seen.observe(canvas)));

  // Choosing a filter is enough where scripts run
  for (const form of document.querySelectorAll("form.filters")) {
    form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
  }
})();
