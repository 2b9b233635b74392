"use strict";

// The tree as typed columns. Parents stand before their children and siblings side by side, so one
// pass forwards or backwards stands for every recursion. TOP is the root of the build: no node, but
// the parent of the top nodes; its entries stand last in the columns that have one for it.

const TOP = -1;

function readTree(data) {
  const count = data.keys.length;
  const columns = {
    count,
    keys: data.keys,
    names: data.names || data.keys,
    glosses: data.glosses,
    labelled: data.labelled,
    parent: new Int32Array(count),
    depth: new Int32Array(count),
    first: new Int32Array(count + 1), // first child
    children: new Int32Array(count + 1), // how many
    deepest: 0,
  };
  let node = 0;
  data.above.forEach((above, group) => {
    const at = above === TOP ? count : above;
    columns.first[at] = node;
    columns.children[at] = data.sizes[group];
    const depth = above === TOP ? 0 : columns.depth[above] + 1;
    columns.deepest = Math.max(columns.deepest, depth);
    for (const end = node + data.sizes[group]; node < end; node++) {
      columns.parent[node] = above;
      columns.depth[node] = depth;
    }
  });
  return { ...columns, ...numberNodes(columns), ...readCounts(columns, data) };
}

// Pre-order: `order[place[node]]` is the node, and the `size` places from there are its subtree.
// Leaves are numbered from left to right: those below a node are `leaf` to `leaf + leaves`.
function numberNodes({ count, parent, children }) {
  const size = new Int32Array(count + 1).fill(1);
  const leaves = new Int32Array(count + 1);
  for (let node = count - 1; node >= 0; node--) {
    const above = parent[node] === TOP ? count : parent[node];
    if (!children[node]) leaves[node] = 1;
    size[above] += size[node];
    leaves[above] += leaves[node];
  }
  const place = new Int32Array(count);
  const leaf = new Int32Array(count + 1);
  const freePlace = new Int32Array(count + 1);
  const freeLeaf = new Int32Array(count + 1);
  const order = new Int32Array(count);
  for (let node = 0; node < count; node++) {
    const above = parent[node] === TOP ? count : parent[node];
    place[node] = freePlace[above];
    leaf[node] = freeLeaf[above];
    freePlace[above] += size[node];
    freeLeaf[above] += leaves[node];
    freePlace[node] = place[node] + 1;
    freeLeaf[node] = leaf[node];
    order[place[node]] = node;
  }
  return { size, leaves, place, leaf, order };
}

// Of each node itself, and of it and all below it: categories of each data set, training images.
function readCounts(tree, { dataSets, images }) {
  const summed = (nodes, counts) => {
    const own = new Float64Array(tree.count);
    nodes.forEach((node, at) => (own[node] += counts ? counts[at] : 1));
    const below = own.slice();
    for (let node = tree.count - 1; node >= 0; node--) {
      if (tree.parent[node] !== TOP) below[tree.parent[node]] += below[node];
    }
    return { own, below };
  };
  return {
    dataSets: dataSets.map(({ name, nodes }) => ({ name, ...summed(nodes) })),
    images: images && { known: new Set(images.nodes), ...summed(images.nodes, images.counts) },
  };
}

function isAncestor(tree, upper, node) {
  if (upper === TOP) return true;
  const steps = tree.place[node] - tree.place[upper];
  return steps >= 0 && steps < tree.size[upper];
}

// Top first, the node last; of a very long path its beginning and end, with null between.
function pathOf(tree, node, most = 40) {
  const path = [];
  for (let at = node; at !== TOP; at = tree.parent[at]) path.push(at);
  path.reverse();
  if (path.length <= most) return path;
  return [...path.slice(0, most / 4), null, ...path.slice((-3 * most) / 4)];
}

function fragmentOf(tree, node) {
  return "#" + encodeURIComponent(tree.keys[node]);
}

const plain = new Intl.NumberFormat("en");

function counted(number, one, several) {
  return `${plain.format(number)} ${number === 1 ? one : several}`;
}

// Does the work once before the next frame, however often it is asked for: writing to the page and
// then asking where something stands makes the browser lay the page out each time.
function onFrame(work) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      work();
    });
  };
}

// An element with text or elements inside; whatever the data hold, it is text.
function make(tag, className, ...inside) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...inside);
  return element;
}

const LONGEST = 300; // characters of a name in a row: no screen shows more

function shortened(text) {
  return text.length > LONGEST ? text.slice(0, LONGEST) + "…" : text;
}
