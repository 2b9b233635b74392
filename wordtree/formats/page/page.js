// Joins the parts: one selected node, its fragment in the address, and the keys.

const SIZES = [0.8, 0.9, 1, 1.15, 1.3, 1.5, 1.75, 2];
const FIRST_ROWS = 40; // a page opens as deep as this many rows allow

function start() {
  const element = (id) => document.getElementById(`wt-${id}`);
  const tree = readTree(JSON.parse(element("data").textContent));
  element("data").remove();
  element("summary").textContent = summary(tree);
  element("help").addEventListener("click", () => element("keys").showModal());
  if (!tree.count) {
    document.body.classList.add("empty");
    element("empty").hidden = false;
    return;
  }

  const view = element("outline");
  let selected = TOP;
  let later = 0;
  let places = null; // node by key, when first asked for

  // remember: a step that the browser's Back undoes. far: a jump, which lands mid-screen.
  function select(node, { remember = false, far = false, address = true } = {}) {
    const moved = node !== selected;
    selected = node;
    outline.show(node, far);
    if (moved) {
      details.show(node);
      icicle.show(node);
    }
    element("status").textContent = "";
    clearTimeout(later);
    if (!address || location.hash === fragmentOf(tree, node)) return;
    // Browsers refuse too many changes a second: of a held arrow key only the last one counts.
    if (remember) setAddress("pushState");
    else later = setTimeout(setAddress, 200, "replaceState");
  }

  function setAddress(method) {
    try {
      history[method](null, "", fragmentOf(tree, selected));
    } catch {
      // A browser that lets a page from a file not do this still shows the node.
    }
  }

  function follow() {
    const fragment = location.hash.slice(1);
    if (!fragment) return select(0, { address: false, far: true });
    places ||= new Map(tree.keys.map((key, node) => [key, node]));
    const node = places.get(decoded(fragment)) ?? places.get(fragment);
    if (node !== undefined) return select(node, { address: false, far: true });
    if (selected === TOP) select(0, { address: false });
    const shown = make("bdi", "", shortened(decoded(fragment)));
    element("status").replaceChildren("This tree has no node with the key ", shown, ".");
  }

  const search = makeSearch(
    tree,
    {
      input: element("search"),
      count: element("count"),
      list: element("hits"),
      previous: element("previous"),
      next: element("next"),
    },
    { select, leave: () => view.focus(), redraw: () => outline.draw() },
  );
  const outline = makeOutline(tree, view, { select, marked: search.marked });
  const details = makeDetails(tree, element("details"), { select });
  const icicle = makeIcicle(
    tree,
    { canvas: element("picture"), trail: element("trail"), hint: element("hover") },
    { select },
  );

  let size = SIZES.indexOf(1);
  function resize(to) {
    size = Math.max(0, Math.min(SIZES.length - 1, to));
    element("size").textContent = `${Math.round(SIZES[size] * 100)}%`;
    document.body.style.setProperty("--zoom", SIZES[size]);
    outline.zoom(SIZES[size]);
  }
  const larger = () => resize(size + 1);
  const smaller = () => resize(size - 1);
  const normal = () => resize(SIZES.indexOf(1));

  const first = () => tree.first[selected];
  const above = () => tree.parent[selected];
  const inner = () => tree.children[selected] > 0;
  const walk = (by) => select(outline.step(by));
  const keys = {
    ArrowDown: () => walk(1),
    ArrowUp: () => walk(-1),
    PageDown: () => walk(outline.page()),
    PageUp: () => walk(-outline.page()),
    Home: () => walk(-tree.count),
    End: () => walk(tree.count),
    ArrowRight: () =>
      inner() && (outline.isOpen(selected) ? select(first()) : outline.toggle(selected)),
    ArrowLeft: () => {
      if (inner() && outline.isOpen(selected)) outline.toggle(selected);
      else if (above() !== TOP) select(above());
    },
    Enter: () => outline.toggle(selected),
    " ": () => outline.toggle(selected),
    "*": () => outline.expandBelow(selected),
    z: () => icicle.zoom(selected),
    Z: () => icicle.zoomOut(),
  };
  const everywhere = {
    "/": () => element("search").select(),
    "?": () => element("keys").showModal(),
    "+": larger,
    "=": larger,
    "-": smaller,
    0: normal,
  };
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    const typing = target.matches("input, dialog, dialog *");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    // After a click on a tool the arrows still walk the tree; Enter and Space are the button's own.
    const onTool = target.matches(".tools button") && key !== "Enter" && key !== " ";
    const inTree = target === view || target === document.body || onTool;
    const act = everywhere[key] || (inTree ? keys[key] : undefined);
    if (!act) return;
    event.preventDefault();
    if (!everywhere[key]) view.focus({ preventScroll: true });
    act();
  });

  const level = element("level");
  level.max = tree.deepest;
  const openTo = (depth) => {
    outline.openTo(depth);
    level.value = depth;
  };
  level.addEventListener("input", () => {
    if (level.value !== "")
      outline.openTo(Math.max(0, Math.min(tree.deepest, Math.round(Number(level.value)))));
  });
  const buttons = {
    expand: () => openTo(tree.deepest),
    collapse: () => openTo(0),
    larger,
    smaller,
    size: normal,
  };
  for (const [id, act] of Object.entries(buttons)) element(id).addEventListener("click", act);
  window.addEventListener("hashchange", follow);

  openTo(firstDepth(tree));
  follow();
  view.focus({ preventScroll: true });
}

function firstDepth(tree) {
  const nodes = new Int32Array(tree.deepest + 1);
  for (let node = 0; node < tree.count; node++) nodes[tree.depth[node]]++;
  let depth = 0;
  for (let rows = nodes[0]; depth < tree.deepest; depth++) {
    rows += nodes[depth + 1];
    if (rows > FIRST_ROWS) break;
  }
  return depth;
}

function summary(tree) {
  if (!tree.count) return "no nodes";
  const leaves = counted(tree.leaves[tree.count], "leaf", "leaves");
  const nodes = counted(tree.count, "node", "nodes");
  return `${nodes} · ${leaves} · depth ${plain.format(tree.deepest)}`;
}

function decoded(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

start();
requestAnimationFrame(() => performance.mark("usable")); // after the first rows
