"use strict";
(() => {
  document.documentElement.classList.add("js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  // How many regions are coloured, and how strongly.
  const top = one("top"), strength = one("strength");
  const showTop = () => {
    top.nextElementSibling.value = top.value === top.max ? "all" : top.value;
    for (const region of all(".r")) region.classList.toggle("weak", Number(region.dataset.rank) > Number(top.value) || region.classList.contains("z"));
  };
  if (top) {
    top.addEventListener("input", showTop);
    strength.addEventListener("input", () => {
      strength.nextElementSibling.value = `${strength.value} %`;
      document.documentElement.style.setProperty("--strength", strength.value / 100);
    });
    if (top.value !== top.defaultValue || strength.value !== strength.defaultValue) { top.value = top.defaultValue; strength.value = strength.defaultValue; }
  }

  // A region's figures, and its row in the table.
  const tellOne = (side, k) => {
    for (const marked of all(".on", side)) marked.classList.remove("on");
    const told = side.querySelector(".told"), region = k === null ? null : side.querySelector(`.r[data-k="${k}"]`);
    told.textContent = region ? region.querySelector("title").textContent : told.dataset.hint;
    told.classList.toggle("full", region !== null);
    if (region) for (const marked of all(`[data-k="${k}"]`, side)) marked.classList.add("on");
  };
  // The same region in every explanation of the picture that has the same regions; the one that is pointed at is read out.
  const tell = (side, k) => {
    for (const each of all(`.side[data-segmentation="${side.dataset.segmentation}"]`, side.closest(".picture"))) {
      each.querySelector(".told").setAttribute("aria-live", each === side ? "polite" : "off");
      if (k === null || each.getClientRects().length) tellOne(each, k);
    }
  };
  const placed = (event) => event.target instanceof Element ? event.target.closest("[data-k]") : null;
  for (const name of ["pointerover", "click"]) document.addEventListener(name, (event) => { const found = placed(event); if (found) tell(found.closest(".side"), found.dataset.k); });
  document.addEventListener("pointerout", (event) => {
    const found = placed(event);
    if (found && event.pointerType === "mouse" && !found.closest(".side").contains(event.relatedTarget)) tell(found.closest(".side"), null);
  });
  // The arrow keys go from the strongest to the weakest, in the picture and in the table. A table that is too wide keeps
  // left and right, to be scrolled.
  const walk = (element, ranked, forwards, backwards) => {
    const side = element.closest(".side");
    let place = -1;
    const go = (to) => { place = Math.max(0, Math.min(ranked.length - 1, to)); tell(side, ranked[place].dataset.k); };
    element.addEventListener("keydown", (event) => {
      const to = forwards.includes(event.key) ? place + 1 : backwards.includes(event.key) ? place - 1 : { Home: 0, End: ranked.length - 1 }[event.key];
      if (to !== undefined) { event.preventDefault(); go(to); } else if (event.key === "Escape") { place = -1; tell(side, null); }
    });
    element.addEventListener("focus", () => { if (element.matches(":focus-visible")) go(Math.max(place, 0)); });
    element.addEventListener("blur", () => tell(side, null));
  };
  for (const drawing of all(".drawn .regions")) walk(drawing, all(".r", drawing).sort((a, b) => a.dataset.rank - b.dataset.rank), ["ArrowRight", "ArrowDown"], ["ArrowLeft", "ArrowUp"]);
  for (const list of all(".side > .list")) walk(list, all("tr[data-k]", list), ["ArrowDown"], ["ArrowUp"]);

  // On paper each picture has a page of A4. What is higher is made smaller: laid out as on paper, and measured.
  // Below LEAST nobody could read it: then it takes two pages.
  const PAGE = 268, WIDTH = 182, MILLIMETRE = 96 / 25.4, LEAST = 0.6, TRIES = 4;
  const fit = () => {
    const media = all("style").flatMap((style) => [...style.sheet.cssRules]).filter((rule) => rule.media && /print|screen/.test(rule.media.mediaText));
    const kept = media.map((rule) => rule.media.mediaText), body = document.body, pictures = all(".picture");
    for (const rule of media) rule.media.mediaText = rule.media.mediaText.includes("print") ? "all" : "not all";
    body.style.width = `${WIDTH}mm`;
    const fits = pictures.map(() => 1);
    // Letters have a least size, so that half the size is not half the height: it is measured again.
    for (let n = 0; n < TRIES; n++) {
      pictures.forEach((picture, place) => picture.style.setProperty("--fit", fits[place]));
      const heights = pictures.map((picture) => picture.getBoundingClientRect().height / MILLIMETRE);
      heights.forEach((height, place) => { if (height > PAGE) fits[place] = Math.max(LEAST, fits[place] * PAGE / height * 0.995); });
    }
    body.style.width = "";
    media.forEach((rule, place) => { rule.media.mediaText = kept[place]; });
    for (const image of all("img")) image.loading = "eager";
  };
  addEventListener("beforeprint", fit);

  // The overview: sorted by a column, filtered by what is asked for.
  const body = document.querySelector(".overview tbody");
  if (!body) return;
  // Many pictures come as data, and the first rows that match are drawn: no page can hold a hundred thousand.
  const AT_ONCE = 200, data = one("blocks"), numbers = new Set(["points", "r2", "strong"]), collator = new Intl.Collator(undefined, { numeric: true });
  const read = ({ page, strip, rows }) => rows.map(([anchor, id, said, names, points, label, right, flag, words, verdict, look, r2, r2Text, strong, strongText], place) => ({
    hidden: false,
    dataset: { id, said: names.join("\n"), points, right, verdict, r2: r2 ?? "", strong: strong ?? "" },
    cells: { id, said, label, flag, words, r2: r2Text, strong: strongText },
    href: `${page}#${anchor}`, look, strip, down: rows.length > 1 ? (100 * place) / (rows.length - 1) : 0,
  }));
  const rows = data ? JSON.parse(data.textContent).flatMap(read) : all("tr", body);
  const element = (row) => {
    const drawn = one("row").content.firstElementChild.cloneNode(true);
    for (const link of all("a", drawn)) link.href = row.href;
    for (const cell of all("[data-cell]", drawn)) cell.textContent = row.cells[cell.dataset.cell] ?? "";
    const flag = drawn.querySelector(".flag"), picture = drawn.querySelector(".strip").style, strong = row.dataset.strong;
    if (flag && row.dataset.right) flag.classList.add(row.dataset.right); else if (flag) flag.remove();
    drawn.querySelector(".badge").classList.add(row.look);
    if (strong) drawn.querySelector("[data-cell=strong]").classList.add(strong > 0 ? "towards" : "against");
    picture.backgroundImage = `url("${row.strip}")`;
    picture.backgroundPosition = `0 ${row.down}%`;
    return drawn;
  };
  let order = rows, most = AT_ONCE;
  const draw = () => {
    if (!data) { body.append(...order); return; }
    const matching = order.filter((row) => !row.hidden);
    body.replaceChildren(...matching.slice(0, most).map(element));
    one("more").hidden = matching.length <= most;
  };
  if (data) { draw(); one("more").addEventListener("click", () => { most += AT_ONCE; draw(); }); }
  for (const head of all(".overview th[data-key]")) head.querySelector("button").addEventListener("click", () => {
    const key = head.dataset.key, falling = head.getAttribute("aria-sort") === "ascending" || (numbers.has(key) && !head.hasAttribute("aria-sort"));
    for (const other of all(".overview th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const size = (row) => key === "strong" ? Math.abs(row.dataset[key]) : Number(row.dataset[key]);
    const compare = numbers.has(key) ? (a, b) => size(a) - size(b) : (a, b) => collator.compare(a.dataset[key], b.dataset[key]);
    const missing = (row) => Number(row.dataset[key] === "");
    order = [...rows].sort((a, b) => missing(a) - missing(b) || (falling ? compare(b, a) : compare(a, b)));
    draw();
  });
  const text = one("filter-text"), chosen = ["said", "right", "verdict"].map((key) => [key, one(`filter-${key}`)]).filter(([, select]) => select);
  const filter = () => {
    const words = text.value.trim().toLowerCase();
    let left = 0;
    for (const row of rows) {
      const hidden = !row.dataset.id.toLowerCase().includes(words) || chosen.some(([key, select]) => select.value && !row.dataset[key].split("\n").includes(select.value));
      row.hidden = hidden;
      const picture = data ? null : one(row.dataset.for);
      if (picture) picture.hidden = hidden;
      left += hidden ? 0 : 1;
    }
    one("counted").textContent = `${left} of ${rows.length} pictures`;
    if (data) { most = AT_ONCE; draw(); }
  };
  text.addEventListener("input", filter);
  for (const [, select] of chosen) select.addEventListener("change", filter);
})();
