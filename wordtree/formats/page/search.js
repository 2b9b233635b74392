// Search by name or key: exact hits first, then beginnings, beginnings of words, and the rest.

const LISTED = 50; // hits in the list at a time

function folded(text) {
  const low = text.toLowerCase().replace(/_/g, " ");
  return /[^\0-\x7f]/.test(low) ? low.normalize("NFD").replace(/\p{M}/gu, "") : low;
}

// 0: all of the text, 1: its beginning, 2: the beginning of a word, 3: elsewhere, 4: nowhere.
function rankOf(text, wanted) {
  let at = text.indexOf(wanted);
  if (at < 0) return 4;
  if (at === 0) return text.length === wanted.length ? 0 : 1;
  for (; at >= 0; at = text.indexOf(wanted, at + 1)) {
    if (!inWord(text, at - 1)) return 2;
  }
  return 3;
}

function inWord(text, at) {
  const code = text.charCodeAt(at);
  if (code > 127) return /[\p{L}\p{N}]/u.test(text[at]);
  return (code > 96 && code < 123) || (code > 47 && code < 58); // a to z, 0 to 9
}

function makeSearch(tree, page, { select, leave, redraw }) {
  const { input, count, list, previous, next } = page;
  const hit = new Uint8Array(tree.count);
  let texts = null; // folded, when first searched
  let wanted = "";
  let hits = [];
  let current = -1;

  function find() {
    texts ||= { names: tree.names.map(folded), keys: tree.keys.map(folded) };
    wanted = folded(input.value.trim());
    hit.fill(0);
    const found = [[], [], [], []];
    for (let node = 0; wanted && node < tree.count; node++) {
      const rank = Math.min(rankOf(texts.names[node], wanted), rankOf(texts.keys[node], wanted));
      if (rank < 4) {
        found[rank].push(node);
        hit[node] = 1;
      }
    }
    // Within a rank the shorter name is nearer to what was typed; then the order of the outline.
    const length = (node) => tree.names[node].length;
    const nearer = (one, other) =>
      length(one) - length(other) || tree.place[one] - tree.place[other];
    hits = found.flatMap((nodes) => nodes.sort(nearer));
    current = -1;
    show();
    redraw();
  }

  function walk(step) {
    if (!hits.length) return;
    const from = current < 0 && step < 0 ? 0 : current;
    current = (from + step + hits.length) % hits.length;
    show();
    select(hits[current], { far: true });
  }

  function show() {
    const none = !hits.length;
    const total = counted(hits.length, "hit", "hits");
    count.textContent = !wanted
      ? ""
      : current < 0
        ? total
        : `${plain.format(current + 1)} of ${total}`;
    list.hidden = previous.hidden = next.hidden = none;
    input.setAttribute("aria-expanded", !none);
    input.removeAttribute("aria-activedescendant");
    showList();
  }

  const showList = onFrame(() => {
    const begin = Math.max(0, Math.floor(current / LISTED) * LISTED);
    const items = hits.slice(begin, begin + LISTED).map((node, at) => item(node, begin + at));
    const more = hits.length - begin - items.length;
    if (more > 0) items.push(make("p", "more", `and ${plain.format(more)} more`));
    list.replaceChildren(...items);
    if (current < 0) {
      list.scrollTop = 0;
      return;
    }
    input.setAttribute("aria-activedescendant", `wt-hit-${current}`);
    items[current - begin].scrollIntoView({ block: "nearest" });
  });

  function item(node, at) {
    const name = make("bdi", "name");
    fillMarked(name, tree.names[node], marked(node));
    const key = tree.keys[node] === tree.names[node] ? "" : shortened(tree.keys[node]);
    const above = tree.parent[node];
    const within = above === TOP ? "" : ["in ", make("bdi", "", shortened(tree.names[above]))];
    const element = make(
      "div",
      "item",
      name,
      make("bdi", "key", key),
      make("span", "within", ...within),
    );
    element.id = `wt-hit-${at}`;
    element.dataset.at = at;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", at === current);
    return element;
  }

  // Where the match stands in the name, [0, 0] where only the key matches; null: no hit.
  function marked(node) {
    if (!hit[node]) return null;
    const from = texts.names[node].indexOf(wanted);
    // Folding may change the length, and then places in the name are not those in the folded text.
    const same = texts.names[node].length === tree.names[node].length;
    return from >= 0 && same ? [from, from + wanted.length] : [0, 0];
  }

  function end() {
    input.value = "";
    find();
    leave();
  }

  const keys = {
    Enter: (event) => walk(event.shiftKey ? -1 : 1),
    ArrowDown: () => walk(1),
    ArrowUp: () => walk(-1),
    Escape: end,
  };
  input.addEventListener("input", find);
  input.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.isComposing) return;
    event.preventDefault();
    keys[event.key](event);
  });
  previous.addEventListener("click", () => walk(-1));
  next.addEventListener("click", () => walk(1));
  list.addEventListener("click", ({ target }) => {
    const element = target.closest(".item");
    if (element) walk(Number(element.dataset.at) - current);
  });
  return { marked };
}
