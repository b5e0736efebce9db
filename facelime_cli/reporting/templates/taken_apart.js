// A picture is taken apart: its regions go as the slider says, and what the check has stored of the model is read out.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const begin = (part) => {
    if (part.dataset.begun) return;
    part.dataset.begun = "1";
    const one = (selector) => part.querySelector(selector), article = part.closest(".picture");
    const slider = one(".apart-step"), fill = one(".apart-fill"), edge = one(".apart-edge"), told = one(".apart-told");
    const order = part.dataset.order.split(" "), outline = (k) => document.getElementById(`${part.dataset.prefix}-${k}`).getAttribute("d");
    const words = (row, count) => {
      const [gone, answer, others, instead] = [...row.cells].map((cell) => cell.textContent.trim());
      const which = gone === "0" ? "With all regions" : Number(gone) === count ? "Without any region" : gone === "1" ? `Without the strongest region (${order[0]})` : `Without the ${gone} strongest regions`;
      const [span, sets] = (others || "").split(/ \((?=\d+\)$)/);
      const band = others ? ` Without ${gone === "1" ? "one of the others" : `${gone} random others`}: ${span} (${parseInt(sets, 10)} ${gone === "1" ? "regions" : "sets"}).` : "";
      return `${which} the model gives ${part.dataset.name} ${answer}.${band}${instead ? ` Then it says ${instead}.` : ""}`;
    };
    const show = () => {
      const chosen = fill.selectedOptions[0], rows = all(`tbody[data-course="${fill.value}"] tr[data-gone]`, part), row = rows[slider.value];
      const d = order.slice(0, Number(row.dataset.gone)).map(outline).join("");
      for (const path of all(".gone", part)) path.setAttribute("d", d);
      for (const path of all(".edge", part)) path.toggleAttribute("hidden", !edge.checked);
      one(".fill").setAttribute("href", article.querySelector(`[data-stand-in="${chosen.dataset.place}"]`).src);
      for (const group of all(".curve [data-course]", part)) {
        group.toggleAttribute("hidden", group.dataset.course !== fill.value);
        all(".dot", group).forEach((dot, place) => dot.classList.toggle("now", place === Number(slider.value)));
      }
      const stands = one(".apart-stands");
      if (stands) stands.textContent = chosen.textContent;
      told.textContent = words(row, order.length);
      slider.setAttribute("aria-valuetext", `${row.dataset.gone} of ${order.length} regions gone`);
    };
    for (const each of [slider, fill, edge]) each.addEventListener("input", show);
    // A step of the curve can be pointed at, too.
    one(".curve").addEventListener("click", (event) => {
      const across = (dot) => { const box = dot.getBoundingClientRect(); return Math.abs(box.x + box.width / 2 - event.clientX); };
      const dots = all(`[data-course="${fill.value}"] .dot`, one(".curve"));
      slider.value = dots.indexOf(dots.reduce((best, dot) => (across(dot) < across(best) ? dot : best)));
      show();
    });
    show();
  };
  // Only what comes into sight is composed: a page may have hundreds of pictures.
  const seen = new IntersectionObserver((entries) => { for (const each of entries) if (each.isIntersecting) { seen.unobserve(each.target); begin(each.target); } }, { rootMargin: "600px" });
  const parts = all(".apart");
  for (const part of parts) seen.observe(part);
  addEventListener("beforeprint", () => parts.forEach(begin));
})();
