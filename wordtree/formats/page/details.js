// What is known of the selected node.

function makeDetails(tree, panel, { select }) {
  let node = TOP;

  const draw = onFrame(() => {
    panel.replaceChildren(path(node), heading(node), gloss(node), facts(node), ...tables(node));
    panel.scrollTop = 0;
  });

  // A link is followed here, without the detour over the address; with Ctrl it is the browser's.
  panel.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-node]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    select(Number(link.dataset.node), { remember: true, far: true });
  });

  function path(node) {
    const steps = pathOf(tree, node).map((at) =>
      make("li", "", at === null ? "…" : step(at, node)),
    );
    const list = make("nav", "path", make("ol", "", ...steps));
    list.setAttribute("aria-label", "Path");
    return list;
  }

  function step(at, node) {
    const link = make("a", "", make("bdi", "", shortened(tree.names[at])));
    link.href = fragmentOf(tree, at);
    link.dataset.node = at;
    if (at === node) link.setAttribute("aria-current", "true");
    return link;
  }

  function heading(node) {
    const link = make("a", "key", make("bdi", "", tree.keys[node]));
    link.href = fragmentOf(tree, node);
    link.title = "Link to this node";
    const copy = make("button", "copy", "Copy link");
    copy.type = "button";
    copy.addEventListener("click", () => copyLink(link.href, copy));
    const labelled = isLabelled(tree, node) ? "labelled" : "unlabelled";
    const tags = [make("span", `tag ${labelled}`, labelled)];
    if (!tree.children[node]) tags.push(make("span", "tag", "leaf"));
    const title = make("h2", "", make("bdi", "", tree.names[node]));
    return make("header", "", title, make("p", "keys", link, copy, ...tags));
  }

  function gloss(node) {
    const text = tree.glosses ? tree.glosses[node] : "";
    return text ? make("p", "gloss", make("bdi", "", text)) : make("p", "gloss none", "No gloss.");
  }

  function facts(node) {
    const above = tree.parent[node] === TOP ? tree.count : tree.parent[node];
    const { images } = tree;
    const rows = [
      ["Depth", tree.depth[node], "0 at the top"],
      ["Group size", tree.children[above], "its siblings and itself"],
      ["Children", tree.children[node], "the nodes directly below"],
      ["Nodes below", tree.size[node] - 1, "at any depth"],
      ["Leaves below", tree.children[node] ? tree.leaves[node] : 0, "nodes without children"],
    ];
    if (images) {
      const own = images.known.has(node) ? images.own[node] : null;
      rows.push(["Images here", own, "training images of the node itself"]);
      rows.push(["Images in all", images.below[node], "training images of it and all below"]);
    }
    const entries = rows.map(([term, number, meaning]) => {
      const value = number === null ? "–" : plain.format(number);
      const entry = make("div", "", make("dt", "", term), make("dd", "", value));
      entry.title = meaning;
      return entry;
    });
    return make("dl", "facts", ...entries);
  }

  // Data sets with a category at the node or below it.
  function tables(node) {
    const rows = tree.dataSets
      .filter(({ below }) => below[node] > 0)
      .map(({ name, own, below }) =>
        make(
          "tr",
          "",
          make("th", "", make("bdi", "", shortened(name))),
          cell(own[node]),
          cell(below[node]),
        ),
      );
    if (!tree.dataSets.length) return [];
    if (!rows.length) return [make("p", "gloss none", "No data set has a category here or below.")];
    const titles = ["Data set", "categories here", "here and below"].map((text) =>
      make("th", "", text),
    );
    const head = make("thead", "", make("tr", "", ...titles));
    return [make("table", "sets", head, make("tbody", "", ...rows))];
  }

  function cell(number) {
    return make("td", "", number ? plain.format(number) : "–");
  }

  return {
    show(wanted) {
      node = wanted;
      draw();
    },
  };
}

async function copyLink(address, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(address);
  } catch {
    // Some browsers give a page from a file no clipboard: then by way of a selected text.
    const field = make("textarea", "away");
    field.value = address;
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = "Copy link"), 1500);
}
