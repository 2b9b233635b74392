// The outline: rows of one height, of which only those on the screen are elements.

const ROW = 26; // pixels at 100 %
const TALLEST = 8e6; // pixels; browsers cut an element off somewhere above 17 million
const SPARE = 6; // rows above and below the screen

function makeOutline(tree, view, { select, marked }) {
  const sheet = view.firstElementChild;
  const open = new Uint8Array(tree.count);
  const shown = new Int32Array(tree.count); // the node of each row
  const row = new Int32Array(tree.count); // the row of each node, -1 where it is hidden
  const lines = [];
  let rows = 0;
  let height = ROW; // of a row
  let room = view.clientHeight;
  let scroll = 0; // of the view, in pixels of the sheet
  let scrolled = false; // by us: the view does not know it yet
  let selected = TOP;

  function layout() {
    const top = topOfView();
    row.fill(-1);
    rows = 0;
    for (let place = 0; place < tree.count;) {
      const node = tree.order[place];
      shown[rows] = node;
      row[node] = rows++;
      place += open[node] ? 1 : tree.size[node];
    }
    scrollTo(top);
  }

  const sheetHeight = () => Math.min(rows * height, TALLEST);

  // A sheet that would be too tall is scrolled through faster than its rows are high.
  function pace() {
    const spare = sheetHeight() - room;
    return spare > 0 ? (rows * height - room) / spare : 1;
  }

  const topOfView = () => scroll * pace();

  function scrollTo(top) {
    const end = Math.max(0, sheetHeight() - room);
    const wanted = Math.max(0, Math.min(end, Math.round(top / pace())));
    scrolled ||= wanted !== scroll;
    scroll = wanted;
    draw();
  }

  const draw = onFrame(() => {
    sheet.style.height = `${sheetHeight()}px`;
    if (scrolled) view.scrollTop = scroll;
    scrolled = false;
    const top = topOfView();
    const begin = Math.max(0, Math.floor(top / height) - SPARE);
    const end = Math.min(rows, Math.ceil((top + room) / height) + SPARE);
    while (lines.length < end - begin) {
      lines.push(makeLine());
      sheet.append(lines.at(-1).element);
    }
    lines.forEach((line, at) => {
      line.element.hidden = begin + at >= end;
      if (begin + at < end) fill(line, begin + at, scroll - top);
    });
    if (row[selected] >= begin && row[selected] < end) {
      view.setAttribute("aria-activedescendant", `wt-row-${selected}`);
    } else {
      view.removeAttribute("aria-activedescendant");
    }
  });

  function makeLine() {
    const parts = ["indent", "twist", "dot", "name", "key", "below"];
    const tags = { name: "bdi", key: "bdi" };
    const inside = parts.map((part) => make(tags[part] || "span", part));
    const element = make("div", "row", ...inside);
    element.setAttribute("role", "treeitem");
    return {
      element,
      state: "",
      ...Object.fromEntries(parts.map((part, at) => [part, inside[at]])),
    };
  }

  function fill(line, at, shift) {
    const node = shown[at];
    const above = tree.parent[node] === TOP ? tree.count : tree.parent[node];
    const { element } = line;
    const inner = tree.children[node] > 0;
    const hit = marked(node);
    // A step by key changes two rows: the others stay as they are.
    const state = [node, at, shift, height, open[node], node === selected, hit].join();
    if (state === line.state) return;
    line.state = state;
    element.id = `wt-row-${node}`;
    element.dataset.node = node;
    element.style.transform = `translateY(${shift + at * height}px)`;
    element.style.setProperty("--depth", tree.depth[node]);
    element.setAttribute("aria-level", tree.depth[node] + 1);
    element.setAttribute("aria-setsize", tree.children[above]);
    element.setAttribute("aria-posinset", node - tree.first[above] + 1);
    element.setAttribute("aria-selected", node === selected);
    if (inner) element.setAttribute("aria-expanded", open[node] === 1);
    else element.removeAttribute("aria-expanded");
    element.classList.toggle("hit", hit !== null);
    element.classList.toggle("unlabelled", !isLabelled(tree, node));
    fillMarked(line.name, tree.names[node], hit);
    const keyed = tree.keys[node] !== tree.names[node];
    line.key.textContent = keyed ? shortened(tree.keys[node]) : "";
    line.below.textContent = inner ? plain.format(tree.size[node] - 1) : "";
    line.below.title = inner ? counted(tree.size[node] - 1, "node below", "nodes below") : "";
  }

  function reveal(node) {
    let changed = false;
    for (let at = tree.parent[node]; at !== TOP; at = tree.parent[at]) {
      changed ||= !open[at];
      open[at] = 1;
    }
    if (changed) layout();
  }

  function show(node, far = false) {
    reveal(node);
    selected = node;
    const top = topOfView();
    const from = row[node] * height;
    const last = room - height; // where the lowest whole row begins
    // A jump lands in the middle; a step to the next row moves by that row.
    if (from < top) scrollTo(far ? from - last / 2 : from);
    else if (from > top + last) scrollTo(from - (far ? last / 2 : last));
    draw();
  }

  function toggle(node, wanted = !open[node]) {
    if (!tree.children[node]) return;
    open[node] = wanted ? 1 : 0;
    if (!wanted && isAncestor(tree, node, selected)) select(node);
    layout();
  }

  function expandBelow(node) {
    const from = tree.place[node];
    for (let place = from; place < from + tree.size[node]; place++) open[tree.order[place]] = 1;
    layout();
  }

  // All nodes above this depth are open, all others closed; what was selected stays on the screen,
  // as the ancestor that still shows.
  function openTo(depth) {
    for (let node = 0; node < tree.count; node++) open[node] = tree.depth[node] < depth ? 1 : 0;
    let at = selected;
    while (at !== TOP && tree.depth[at] > depth) at = tree.parent[at];
    layout();
    if (at === TOP) return;
    if (at !== selected) select(at);
    show(at, true);
  }

  function zoom(factor) {
    const top = topOfView() / height;
    height = Math.round(ROW * factor);
    view.style.setProperty("--row", `${height}px`);
    scrollTo(top * height);
  }

  view.addEventListener("scroll", () => {
    if (scrolled) return;
    scroll = view.scrollTop;
    draw();
  });
  view.addEventListener("click", ({ target }) => {
    const element = target.closest(".row");
    if (!element) return;
    const node = Number(element.dataset.node);
    if (target.closest(".twist")) toggle(node);
    else select(node, { remember: true });
  });
  view.addEventListener("dblclick", ({ target }) => {
    const element = target.closest(".row");
    if (element && !target.closest(".twist")) toggle(Number(element.dataset.node));
  });
  new ResizeObserver(() => {
    room = view.clientHeight;
    draw();
  }).observe(view);

  return {
    draw,
    layout,
    show,
    toggle,
    expandBelow,
    openTo,
    zoom,
    isOpen: (node) => open[node] === 1,
    step: (by) => shown[Math.max(0, Math.min(rows - 1, row[selected] + by))],
    page: () => Math.max(1, Math.floor(room / height) - 1),
  };
}

function isLabelled(tree, node) {
  return !tree.labelled || tree.labelled[node] === "1";
}

// `hit`: null, or where in the text the match stands: [from, to]. What a row cuts off is unmarked.
function fillMarked(element, text, hit) {
  const short = shortened(text);
  if (!hit || hit[0] >= hit[1] || hit[1] > LONGEST) {
    element.textContent = short;
    return;
  }
  const [from, to] = hit;
  element.replaceChildren(
    short.slice(0, from),
    make("mark", "", short.slice(from, to)),
    short.slice(to),
  );
}
