from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import time
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import BrokenPhoto
from data.loader import Loader, Stream
from data.mixture import Grid, Mixture, Share
from data.sample import Sample
from data.transforms import TrainTransform, View
from wordtree.errors import UserError


@dataclass(frozen=True)
class Coloured:
    """Photos of one colour each, with one box or one label; some are broken."""

    name: str
    kind: str
    size: int = 40
    broken: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return self.size

    def read(self, index, *, size=None):
        if index in self.broken:
            raise BrokenPhoto(f"{self.name}/{index}.jpg", "the file is cut")
        image = np.full((*size, 3), index, np.uint8)
        shared = {"source": self.name, "index": index, "path": f"{self.name}/{index}.jpg"}
        if self.kind == "label_only":
            return Sample(image, self.kind, labels=np.array([index]), **shared)
        box = np.array([[1, 2, size[1] - 3, size[0] - 4]], np.float32)
        return Sample(image, self.kind, box, np.array([index]), np.array([False]), **shared)


@dataclass(frozen=True)
class Tiled(Coloured):
    """Photos of 60 x 80 whose 48 objects of 10 x 10 cover them; each is brighter than the last."""

    def read(self, index, *, size=None):
        rows, columns = np.divmod(np.arange(48), 8)
        corners = np.stack([columns, rows], 1) * 10
        boxes = np.concatenate([corners, corners + 10], 1).astype(np.float32)
        image = np.kron(np.arange(48).reshape(6, 8) + 200, np.ones((10, 10)))
        image = np.repeat(image[..., None], 3, 2).astype(np.uint8)
        flags = np.zeros(48, bool)
        return Sample(image, "boxed", boxes, np.arange(48), flags, source=self.name, index=index)


@dataclass(frozen=True)
class Faulty(Coloured):
    """A source with a defect."""

    def read(self, index, *, size=None):
        raise ZeroDivisionError("a defect")


@dataclass(frozen=True)
class Unreachable(Coloured):
    """A source on a disk that went away."""

    def read(self, index, *, size=None):
        raise ConnectionError("the share is gone")


@dataclass(frozen=True)
class Threads(Coloured):
    """Photos whose pixels are the numbers of threads and the process's global random state."""

    def read(self, index, *, size=None):
        sample = super().read(index, size=size)
        sample.image[0, 0] = torch.get_num_threads(), cv2.getNumThreads(), 0
        return sample


def noisy(sample, size, seed):
    """A placement that depends on the seed in every pixel."""
    noise = np.random.default_rng(seed).integers(0, 99, (*size, 3))
    return sample.replace(image=(sample.image + noise).astype(np.uint8))


def unchanged(sample, _size, _seed):
    return sample


def padded(sample, size, _seed):
    """The photo stands in the upper half of its rectangle."""
    return sample, np.array([0, 0, size[1], size[0] // 2], np.float32)


def make_stream(place=noisy, sources=None, grids=None, seed=0):
    grids = grids or [Grid(2, 2), Grid(1, 1), Grid(2, 3)]
    sources = sources or [Coloured("boxes", "boxed"), Coloured("labels", "label_only")]
    mixture = Mixture([Share(s) for s in sources], grids=grids, ratio=1, deck=4, seed=seed)
    return Stream(mixture, place, size=(48, 64), stride=8)


def make_multiscale(every, seed=0, **more):
    one = make_stream(seed=seed, **more)
    sizes = [(48, 64), (64, 96), (96, 64)]
    return Stream(one.mixture, one.place, size=(48, 64), stride=8, sizes=sizes, every=every)


def first(loader, count):
    with loader:
        return list(islice(loader, count))


def assert_equal(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        assert same, field.name


def processes():
    """Identifiers of the workers that live."""
    return {child.pid for child in multiprocessing.active_children()}


def test_an_input_is_read_placed_and_pasted():
    stream = make_stream(place=unchanged)
    for position in range(12):
        one, plan = stream[position], stream.mixture.plan(position)
        assert one.position == position
        assert one.image.shape == (48, 64, 3)
        assert [s.index for s in one.samples] == [t.photo for t in plan.tiles]
        for sample, region in zip(one.samples, one.regions, strict=True):
            left, top, right, bottom = region.astype(int)
            assert (one.image[top:bottom, left:right] == sample.index).all()
            if sample.kind == "boxed":
                box = [left + 1, top + 2, right - 3, bottom - 4]
                assert sample.boxes.tolist() == [box]
            else:
                assert sample.labels.tolist() == [sample.index]


def test_a_placement_may_say_where_the_photo_stands():
    one = make_stream(place=padded, grids=[Grid(1, 2)])[0]
    assert one.regions[:, 3].tolist() == [24, 24]
    assert one.regions[1, 0] == one.regions[0, 2]


def test_a_mosaic_of_boxed_photos_alone_keeps_each_box_in_its_tile_and_ignores_remnants():
    source = Tiled("boxes", "boxed")
    place = TrainTransform(boxed=View(fill=(1, 1), scale=(1.2, 2.0)), colour=None)
    stream = make_stream(place=place, sources=[source], grids=[Grid(2, 2)])
    ignored = 0
    for position in range(8):
        one = stream[position]
        assert len(one.samples) == 4
        for sample, (left, top, right, bottom) in zip(one.samples, one.regions, strict=True):
            assert sample.kind == "boxed"
            assert (sample.boxes >= [left, top, left, top]).all()
            assert (sample.boxes <= [right, bottom, right, bottom]).all()
            # the objects cover the photo, so their boxes and remnants cover its region
            area = (sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(1)
            assert area.sum() == pytest.approx((right - left) * (bottom - top), rel=0.05)
            for box, node, gone in zip(sample.boxes, sample.nodes, sample.ignore, strict=True):
                sides = box[2:] - box[:2]
                assert gone or (sides >= 2).all()
                if (sides > 3).all():
                    x, y = ((box[:2] + box[2:]) / 2).astype(int)
                    assert abs(int(one.image[y, x, 0]) - 200 - node) <= 1
            ignored += sample.ignore.sum()
    assert ignored > 10


def test_cuts_differ_from_input_to_input_and_with_the_seed():
    def cuts(seed):
        return [make_stream(seed=seed, grids=[Grid(2, 2)])[p].regions.tolist() for p in range(9)]

    assert cuts(0) == cuts(0) != cuts(1)
    assert len({str(c) for c in cuts(0)}) > 1


def test_inputs_take_a_new_size_every_so_many_and_each_equally_often():
    stream = make_multiscale(every=8)
    sizes = [stream[position].image.shape[:2] for position in range(8 * 12)]
    assert sizes == [stream.size_at(position) for position in range(len(sizes))]
    steps = [sizes[at : at + 8] for at in range(0, len(sizes), 8)]
    assert all(len(set(step)) == 1 for step in steps)
    rounds = [[step[0] for step in steps[at : at + 3]] for at in range(0, 12, 3)]
    assert all(sorted(one) == sorted(stream.sizes) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # in an order of their own each time


def test_sizes_are_a_function_of_seed_and_position():
    def drawn(seed):
        return [make_multiscale(every=4, seed=seed).size_at(p) for p in range(0, 120, 4)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_cuts_boxes_and_regions_fit_inputs_of_every_size():
    stream = make_multiscale(every=1, grids=[Grid(2, 3)])
    for position in range(9):
        one = stream[position]
        height, width = one.image.shape[:2]
        assert one.regions[:, 2:].max(0).tolist() == [width, height]
        area = (one.regions[:, 2:] - one.regions[:, :2]).prod(1).sum()
        assert area == height * width
        for sample, region in zip(one.samples, one.regions, strict=True):
            assert (sample.boxes >= np.tile(region[:2], 2)).all()
            assert (sample.boxes <= np.tile(region[2:], 2)).all()


def test_sizes_are_the_same_whatever_start_workers_and_ranks():
    stream = make_multiscale(every=6)
    whole = first(Loader(stream, batch_size=6), 6)
    assert len({batch.images.shape for batch in whole}) == 3
    later = first(Loader(stream, batch_size=6, start=18, workers=2), 3)
    for one, other in zip(whole[3:], later, strict=True):
        assert_equal(one, other)
    ranks = [first(Loader(stream, batch_size=3, rank=r, world=2, workers=r), 6) for r in (0, 1)]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([rank[step].images for rank in ranks]), batch.images)


def test_sizes_that_do_not_fit_stride_or_grids_are_refused_when_the_stream_is_made():
    mixture = make_stream(grids=[Grid(1, 1), Grid(1, 5)]).mixture
    with pytest.raises(UserError, match=r"\(60, 64\).* multiples of the network's stride 8"):
        Stream(mixture, noisy, size=(48, 64), stride=8, sizes=[(48, 64), (60, 64)])
    with pytest.raises(UserError, match="32 pixels cannot be cut into 5 tiles"):
        Stream(mixture, noisy, size=(48, 64), stride=8, sizes=[(32, 32)])
    unused = make_stream(grids=[Grid(1, 1), Grid(1, 5, weight=0)]).mixture
    assert Stream(unused, noisy, size=(32, 32), stride=8).size_at(7) == (32, 32)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_another_start_gives_the_same_inputs(start, batch_size, count, skipped):
    stream = make_stream()
    whole = first(Loader(stream, batch_size=batch_size, start=start), count + skipped)
    later = Loader(stream, batch_size=batch_size, start=start + skipped * batch_size)
    for one, other in zip(whole[skipped:], first(later, count), strict=True):
        assert_equal(one, other)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_ranks_are_disjoint_and_together_equal_one_process(world, batch_size, start):
    stream = make_stream()
    together = first(Loader(stream, batch_size=batch_size * world, start=start), 2)
    ranks = [
        first(Loader(stream, batch_size=batch_size, start=start, rank=r, world=world), 2)
        for r in range(world)
    ]
    for step, batch in enumerate(together):
        parts = [rank[step] for rank in ranks]
        assert torch.equal(torch.cat([p.position for p in parts]), batch.position)
        assert torch.equal(torch.cat([p.images for p in parts]), batch.images)
        assert [path for p in parts for path in p.photo_path] == batch.photo_path


def test_workers_never_change_a_draw():
    stream = make_stream()
    alone = first(Loader(stream, batch_size=3, start=5), 5)
    assert [b.position.tolist() for b in alone][:2] == [[5, 6, 7], [8, 9, 10]]
    for workers in (1, 2):
        for one, other in zip(
            alone, first(Loader(stream, batch_size=3, start=5, workers=workers), 5), strict=True
        ):
            assert_equal(one, other)


def test_spawned_workers_give_the_same_batches(monkeypatch):
    # a spawned process imports this file by its name, as it would a user's module
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    for thing in (Coloured, noisy):
        monkeypatch.setattr(thing, "__module__", "test_loader")
    import test_loader

    stream = test_loader.make_stream(place=test_loader.noisy)
    spawned = Loader(stream, batch_size=2, workers=1, start_method="spawn")
    for one, other in zip(first(Loader(stream, batch_size=2), 2), first(spawned, 2), strict=True):
        assert_equal(one, other)


def test_a_stream_survives_pickling():
    stream = make_stream()
    copy = pickle.loads(
        pickle.dumps(Stream(stream.mixture, partial(unchanged), size=(32, 32), stride=8))
    )
    assert copy[3].samples[0].index == stream[3].samples[0].index


def test_global_random_states_neither_matter_nor_move():
    stream = make_stream()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    before = first(Loader(stream, batch_size=4, workers=1), 2)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    after = first(Loader(stream, batch_size=4), 2)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    for one, other in zip(before, after, strict=True):
        assert_equal(one, other)


def test_a_worker_uses_one_thread_and_the_trainer_keeps_its_own():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.GaussianBlur(np.zeros((600, 600, 3), np.uint8), (9, 9), 2)  # starts OpenCV's threads
        stream = make_stream(place=unchanged, sources=[Threads("t", "boxed")], grids=[Grid()])
        batches = first(Loader(stream, batch_size=4, workers=2), 2)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(threads)
    for batch in batches:
        assert batch.images[:, :2, 0, 0].unique().tolist() == [1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_photo_is_replaced_by_the_next_and_listed(workers):
    source = Coloured("boxes", "boxed", size=6, broken=frozenset({1, 4, 5}))
    stream = make_stream(place=unchanged, sources=[source], grids=[Grid(2, 2)])
    (batch,) = first(Loader(stream, batch_size=6, workers=workers), 1)
    tiles = [tile.photo for p in range(6) for tile in stream.mixture.plan(p).tiles]
    instead = {0: 0, 1: 2, 2: 2, 3: 3, 4: 0, 5: 0}
    assert batch.photo_index == [instead[t] for t in tiles]
    tried = {1: [1], 4: [4, 5], 5: [5]}
    expected = [(f"boxes/{i}.jpg", "the file is cut") for t in tiles for i in tried.get(t, [])]
    assert batch.broken == expected
    assert len(expected) >= 16  # four of 24 tiles a photo


@pytest.mark.parametrize("workers", [0, 1])
def test_a_source_without_a_readable_photo_ends_in_one_sentence(workers):
    source = Coloured("boxes", "boxed", size=3, broken=frozenset(range(3)))
    stream = make_stream(sources=[source])
    with pytest.raises(UserError) as caught, Loader(stream, batch_size=2, workers=workers) as it:
        next(iter(it))
    text = str(caught.value)
    assert "none of the 3 photos of source boxes" in text
    assert "Traceback" not in text
    assert not processes()


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [(Faulty, ZeroDivisionError, "a defect"), (Unreachable, ConnectionError, "the share is gone")],
)
def test_an_error_in_a_worker_is_raised_as_what_it_is(source, error, words):
    stream = make_stream(sources=[source("boxes", "boxed")])
    with pytest.raises(error, match=words):
        first(Loader(stream, batch_size=2, workers=1), 1)
    assert not processes()


def test_workers_end_when_the_loader_is_closed():
    loader = Loader(make_stream(), batch_size=2, workers=2)
    assert not processes()  # none before they are needed
    batches = iter(loader)
    next(batches)
    assert len(processes()) == 2
    loader.close()
    assert not processes()
    with pytest.raises(StopIteration):
        next(batches)
    with loader:
        next(iter(loader))
        assert len(processes()) == 2
        next(iter(loader))  # a new iteration ends the old one's workers
        assert len(processes()) == 2
    assert not processes()
    batches = iter(loader)
    next(batches)
    batches.close()
    assert not processes()


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence():
    def train():
        with Loader(make_stream(), batch_size=2, workers=2) as loader:
            for number, _ in enumerate(islice(loader, 10_000)):
                if number == 2:
                    os.kill(min(processes()), signal.SIGKILL)

    began = time.monotonic()
    with pytest.raises(UserError, match=r"worker died .* fewer workers"):
        train()
    assert time.monotonic() - began < 30
    assert not processes()


def test_other_runtime_errors_pass_a_loader_unchanged():
    with pytest.raises(RuntimeError, match="of the training"), Loader(make_stream(), batch_size=2):
        raise RuntimeError("of the training")
