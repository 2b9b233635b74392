// The picture: a bar a node, as wide as its leaves, below the bar of its parent. Bars thinner than
// a pixel are drawn once a pixel, so a frame costs as much as the picture is large, not the tree.

const BAR = 24; // pixels
const GLIDE = 220; // milliseconds of a zoom

function makeIcicle(tree, { canvas, trail, hint }, { select }) {
  const context = canvas.getContext("2d");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const bars = document.createElement("canvas").getContext("2d");
  let stale = true; // the bars, after a change of size, colours or zoom
  let width = 0;
  let height = 0;
  let selected = TOP;
  let hovered = null;
  let zoomed = TOP;
  let from = null; // the view that a glide left
  let begun = 0;
  let colours = {};

  const slot = (node) => (node === TOP ? tree.count : node);
  const depth = (node) => (node === TOP ? -1 : tree.depth[node]);
  const viewOf = (node) => [tree.leaf[slot(node)], tree.leaves[slot(node)], depth(node)];
  const name = (node) => (node === TOP ? "All" : shortened(tree.names[node]));

  function view() {
    const to = viewOf(zoomed);
    const passed = from ? Math.min(1, (performance.now() - begun) / GLIDE) : 1;
    if (passed === 1) {
      from = null;
      return to;
    }
    const eased = 1 - (1 - passed) ** 3;
    return to.map((value, at) => from[at] + (value - from[at]) * eased);
  }

  function box(node, [left, leaves, top]) {
    return {
      x: ((tree.leaf[slot(node)] - left) / leaves) * width,
      w: (tree.leaves[slot(node)] / leaves) * width,
      y: (depth(node) - top) * BAR,
    };
  }

  // The bars are kept as they are: a frame without zoom has only the marks to draw anew.
  const draw = onFrame(() => {
    if (!width || !tree.count) return;
    const now = view();
    if (from || stale) drawBars(now);
    stale = from !== null;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bars.canvas, 0, 0);
    prepare(context);
    spine(now);
    if (hovered !== null) outline(box(hovered, now), colours.ink);
    if (from) draw();
  });

  function prepare(target) {
    target.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    target.font = `12px ${colours.font}`;
    target.textBaseline = "middle";
  }

  // Level by level from the node that all of the picture lies below.
  function drawBars(now) {
    prepare(bars);
    bars.clearRect(0, 0, width, height);
    let level = [from ? TOP : zoomed];
    while (level.length && box(level[0], now).y < height) {
      const below = [];
      for (const node of level) {
        const at = box(node, now);
        if (at.y > -BAR) bar(node, at);
        children(node, now, below);
      }
      level = below;
    }
  }

  function children(node, now, below) {
    const first = tree.first[slot(node)];
    let drawn = -1; // right end of what stands already
    for (let at = first; at < first + tree.children[slot(node)]; at++) {
      const { x, w } = box(at, now);
      if (x > width) return;
      if (x + w < 0 || x + w < drawn + 0.7) continue;
      below.push(at);
      drawn = x + w;
    }
  }

  function bar(node, { x, w, y }) {
    const left = Math.max(0, x);
    const right = Math.min(width, x + w);
    bars.fillStyle = fillOf(node);
    bars.fillRect(left, y, Math.max(1, right - left - (w > 3 ? 1 : 0)), BAR - 1);
    label(bars, node, left, right, y, colours.ink);
  }

  function label(target, node, left, right, y, ink) {
    const room = right - left - 10;
    if (room < 20) return;
    let text = name(node).slice(0, 80).replace(/\s+/g, " ");
    const needed = target.measureText(text).width;
    if (needed > room) {
      const letters = Math.floor((text.length * (room - 12)) / needed);
      if (letters < 2) return;
      text = text.slice(0, letters).trimEnd() + "…";
    }
    target.fillStyle = ink;
    // Isolated, so that a name from right to left turns nothing round it.
    target.fillText(`\u2068${text}\u2069`, left + 5, y + BAR / 2);
  }

  function fillOf(node) {
    if (node === TOP) return colours.line;
    const middle = (tree.leaf[node] + tree.leaves[node] / 2) / tree.leaves[tree.count];
    const light = colours.light + (tree.depth[node] % 2 ? colours.step : 0);
    return `hsl(${Math.round(200 + middle * 300) % 360} ${colours.strength}% ${light}%)`;
  }

  // The path of the selected node, wide enough to be seen wherever it stands.
  function spine(now) {
    for (let node = selected; node !== TOP; node = tree.parent[node]) {
      const at = box(node, now);
      if (at.y <= -BAR) return;
      if (at.y >= height) continue;
      const left = Math.max(0, Math.min(width - 3, at.x));
      const right = Math.min(width, Math.max(left + 3, at.x + at.w - (at.w > 3 ? 1 : 0)));
      context.fillStyle = node === selected ? colours.accent : colours.path;
      context.fillRect(left, at.y, right - left, BAR - 1);
      label(context, node, left, right, at.y, node === selected ? colours.paper : colours.ink);
    }
  }

  function outline({ x, w, y }, colour) {
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    const left = Math.max(1, x);
    context.strokeRect(
      left,
      y + 0.75,
      Math.max(2, Math.min(width - 1, x + w) - left - 1),
      BAR - 2.5,
    );
  }

  // From the zoomed node down to the bar at this point, by halving among siblings.
  function nodeAt(x, y) {
    const leaf = tree.leaf[slot(zoomed)] + (x / width) * tree.leaves[slot(zoomed)];
    let node = zoomed;
    for (let level = Math.floor(y / BAR); level > 0; level--) {
      let low = tree.first[slot(node)];
      let high = low + tree.children[slot(node)] - 1;
      if (high < low) return null;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (tree.leaf[middle] <= leaf) low = middle;
        else high = middle - 1;
      }
      node = low;
    }
    return node;
  }

  function zoom(node) {
    // A leaf has nothing below it to zoom into: its siblings are what there is to see.
    const wanted = node !== TOP && !tree.children[node] ? tree.parent[node] : node;
    if (wanted !== zoomed) {
      from = still.matches ? null : view();
      begun = performance.now();
      zoomed = wanted;
      stale = true;
      hovered = null;
      hint.textContent = "";
    }
    showTrail();
    draw();
  }

  function showTrail() {
    const path = [TOP, ...(zoomed === TOP ? [] : pathOf(tree, zoomed, 12))];
    const steps = path.map((node) => {
      if (node === null) return make("span", "gap", "…");
      const button = make("button", "", make("bdi", "", name(node)));
      button.type = "button";
      button.dataset.node = node;
      if (node === zoomed) button.setAttribute("aria-current", "true");
      return make("span", "", button);
    });
    trail.replaceChildren(...steps);
  }

  // Zooms out just as far as the selected node needs, and no further in than it must.
  function show(node) {
    selected = node;
    let wanted = zoomed;
    while (!isAncestor(tree, wanted, node)) wanted = tree.parent[wanted];
    const levels = Math.max(2, Math.floor(height / BAR));
    if (height && depth(node) - depth(wanted) >= levels) {
      wanted = node;
      for (let up = 0; up < levels - 2; up++) wanted = tree.parent[wanted];
    }
    if (wanted === zoomed) draw();
    else zoom(wanted);
  }

  function resize() {
    width = canvas.parentElement.clientWidth;
    height = canvas.parentElement.clientHeight;
    canvas.width = bars.canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = bars.canvas.height = Math.round(height * devicePixelRatio);
    stale = true;
    draw();
  }

  function paint() {
    const style = getComputedStyle(canvas);
    const value = (property) => style.getPropertyValue(property).trim();
    for (const property of ["ink", "line", "accent", "path", "paper"]) {
      colours[property] = value(`--${property}`);
    }
    colours.strength = Number(value("--bar-strength"));
    colours.light = Number(value("--bar-light"));
    colours.step = Number(value("--bar-step"));
    colours.font = style.fontFamily;
    stale = true;
    draw();
  }

  const at = (event) => nodeAt(event.offsetX, event.offsetY);
  canvas.addEventListener("click", (event) => {
    const node = at(event);
    if (node === null) return;
    // The uppermost bar is the zoomed node itself: a click on it zooms out.
    const out = node === zoomed && node !== TOP;
    if (node !== TOP) select(node, { remember: true, far: true });
    zoom(out ? tree.parent[node] : node);
  });
  canvas.addEventListener("pointermove", (event) => {
    const node = at(event);
    if (node === hovered) return;
    hovered = node;
    hint.replaceChildren();
    if (node !== null) {
      const leaves = counted(tree.leaves[slot(node)], "leaf", "leaves");
      hint.append(make("bdi", "", name(node)), ` · ${leaves}`);
    }
    draw();
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    hint.textContent = "";
    draw();
  });
  trail.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) zoom(Number(button.dataset.node));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new ResizeObserver(resize).observe(canvas.parentElement);

  resize();
  paint();
  showTrail();
  return { show, zoom, zoomOut: () => zoom(zoomed === TOP ? TOP : tree.parent[zoomed]) };
}
