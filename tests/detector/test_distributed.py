"""Several processes that train one network: what is shared, what is equal, how they end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from data.images import BrokenPhoto
from data.loader import Loader
from data.sample import Input, Kind, Sample
from detector.losses import PARTS, Criterion
from detector.network.detector import Detector
from detector.training.callbacks import Quiet, StopOnSignal
from detector.training.distributed import ALONE, Ranks, started
from detector.training.ema import WeightAverage
from detector.training.optimizer import make_optimizer
from detector.training.trainer import NonFiniteLoss, TooManyBroken, Trainer
from detector.training.validate import Validation, validate
from wordtree import UserError

CPU = torch.device("cpu")
SIZE = 32
BATCH = 8
OnRanks = Callable[..., list[Any]]


@dataclass(frozen=True)
class Numbered:
    """A stream whose input is a function of its position: noise with two boxes, or with a label."""

    bare: frozenset[int] = frozenset()  # positions that hold neither
    broken: frozenset[int] = frozenset()  # positions at which a photo could not be read

    def __getitem__(self, position: int) -> Input:
        rng = np.random.default_rng(position)
        image = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        boxed = position % 2 == 0
        sample = Sample(image, "boxed" if boxed else "label_only", path=f"photo {position}")
        if position in self.bare:
            sample = sample.replace(kind="background")
        elif boxed:
            corner = rng.integers(0, 16, (2, 2))
            boxes = np.concatenate([corner, corner + rng.integers(6, 16, (2, 2))], 1)
            nodes, ignore = rng.integers(0, 10, 2), np.zeros(2, bool)
            sample = sample.replace(boxes=boxes.astype(np.float32), nodes=nodes, ignore=ignore)
        else:
            sample = sample.replace(labels=rng.integers(0, 10, 1))
        region = np.array([[0, 0, SIZE, SIZE]], np.float32)
        lost = [(f"lost {position}", "it is cut off")] if position in self.broken else []
        return Input(image, (sample,), region, position=position, broken=tuple(lost))


@dataclass
class Watch(Quiet):
    """Keeps what was fed and lost; `act(trainer)` is called after each step."""

    act: Callable[[Trainer], None] = lambda _: None
    positions: list[int] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)

    def batch(self, trainer: Trainer, batch: Any) -> None:
        self.positions += batch.position.tolist()

    def step(self, trainer: Trainer, losses: dict[str, float]) -> None:
        self.losses.append(losses)
        self.act(trainer)


MakeTrainer = Callable[..., Trainer]


CLASSIFIERS = pytest.mark.parametrize("classifier", ["siblings", "flat"])


@pytest.fixture
def make_trainer(make_detector: Callable[..., Detector]) -> MakeTrainer:
    """A trainer of the small detector on `Numbered` inputs."""

    def make(
        ranks: Ranks = ALONE,
        *,
        classifier: str = "siblings",
        accumulate: int = 1,
        stream: Any = None,
        detector: Detector | None = None,
        **options: Any,
    ) -> Trainer:
        detector = detector or make_detector(classifier)
        optimizer = make_optimizer(detector, name="sgd", rate=0.01, weight_decay=0.01)
        stream = Numbered() if stream is None else stream

        def loader(start: int) -> Loader:
            forward = BATCH // (accumulate * ranks.world)
            return Loader(
                stream, batch_size=forward, start=start, rank=ranks.rank, world=ranks.world
            )

        given = {"steps": 3, "callbacks": [Watch()], **options}
        return Trainer(
            detector=detector,
            criterion=Criterion(scales=dict.fromkeys(PARTS, 1.0), inputs=BATCH),
            optimizer=optimizer,
            learning_rate=lambda _: 0.01,
            loader=loader,
            batch_size=BATCH,
            accumulate=accumulate,
            average=WeightAverage(detector, decay=0.9),
            device=CPU,
            ranks=ranks,
            **given,
        )

    return make


def trained(trainer: Trainer) -> dict[str, Any]:
    """What a run comes to."""
    trainer.fit()
    watch = next(one for one in trainer.callbacks if isinstance(one, Watch))
    return {
        "weights": dict(trainer.detector.state_dict()),
        "average": dict(trainer.average.state_dict()),
        "positions": watch.positions,
        "losses": watch.losses,
    }


def connected(work: Callable[[Ranks], Any], *, seconds: float = 30) -> Callable[[Ranks], Any]:
    def joined(ranks: Ranks) -> Any:
        ranks.connect(seconds)
        return work(ranks)

    return joined


def assert_close(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-5) -> None:
    for name in ("weights", "average"):
        for key, value in one[name].items():
            torch.testing.assert_close(value, other[name][key], rtol=tolerance, atol=tolerance)
    for step, expected in zip(one["losses"], other["losses"], strict=True):
        assert step == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_hold_the_same_bits_and_see_photos_of_their_own(
    make_trainer: MakeTrainer, on_ranks: OnRanks, accumulate: int
) -> None:
    ends = on_ranks(connected(lambda ranks: trained(make_trainer(ranks, accumulate=accumulate))))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    first, second = (end.value for end in ends)
    for name in ("weights", "average"):
        assert any("running_var" in key for key in first[name])
        for key, value in first[name].items():
            assert torch.equal(value, second[name][key]), f"{name} {key}"
    assert first["losses"] == second["losses"]
    assert not {*first["positions"]} & {*second["positions"]}
    alone = trained(make_trainer())
    for step in range(3):
        part = slice(step * BATCH // 2, (step + 1) * BATCH // 2)
        together = first["positions"][part] + second["positions"][part]
        assert sorted(together) == alone["positions"][step * BATCH :][:BATCH]
    # With batch norm at work ranks normalise by their own inputs: near, but not the same.
    moved = make_trainer().detector.state_dict()
    assert any(not torch.equal(moved[key], first["weights"][key]) for key in moved)


@pytest.mark.parametrize(
    ("classifier", "accumulate", "clip"),
    [("siblings", 1, 1000.0), ("flat", 2, 1000.0), ("siblings", 2, 0.5)],
)
def test_with_batch_norm_frozen_two_ranks_are_one_process(
    make_trainer: MakeTrainer, on_ranks: OnRanks, classifier: str, accumulate: int, clip: float
) -> None:
    options = {"freeze_norm": True, "clip": clip, "classifier": classifier}
    alone = trained(make_trainer(**options))
    ends = on_ranks(
        connected(lambda ranks: trained(make_trainer(ranks, accumulate=accumulate, **options)))
    )
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    assert_close(ends[0].value, alone)
    before = make_trainer().detector.state_dict()
    changed = {key for key in before if not torch.equal(before[key], alone["weights"][key])}
    assert any("class_weight" in key for key in changed)
    assert not any("running" in key for key in changed)


@CLASSIFIERS
def test_a_rank_without_boxes_and_labels_trains_along(
    make_trainer: MakeTrainer, on_ranks: OnRanks, classifier: str
) -> None:
    # Rank 1 has the second half of each step.
    bare = frozenset(p for p in range(3 * BATCH) if p % BATCH >= BATCH // 2)
    for stream in (Numbered(bare=bare), Numbered(bare=frozenset(range(3 * BATCH)))):
        options = {"freeze_norm": True, "stream": stream, "classifier": classifier}
        alone = trained(make_trainer(**options))

        def work(ranks: Ranks, options: dict[str, Any] = options) -> dict[str, Any]:
            trainer = make_trainer(ranks, **options)
            step = trainer.optimizer.step

            def checked(*given: Any) -> Any:
                names = [n for n, p in trainer.detector.named_parameters() if p.grad is None]
                assert names == []
                return step(*given)

            trainer.optimizer.step = checked
            return trained(trainer)

        ends = on_ranks(connected(work))
        assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
        assert_close(ends[1].value, alone)


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_before_the_weights_are_touched(
    make_trainer: MakeTrainer, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Criterion.forward

    def spoilt(self: Criterion, predictions: Any, batch: Any, seen: int) -> Any:
        parts = forward(self, predictions, batch, seen)
        # The total stays finite in its gradient: only the exchange can tell the other rank.
        factor = float("inf") if 13 in batch.position.tolist() else 1.0
        return {**parts, "total": parts["total"] + (factor if factor > 1 else 0.0)}

    monkeypatch.setattr(Criterion, "forward", spoilt)

    def work(ranks: Ranks) -> Any:
        trainer = make_trainer(ranks, accumulate=2)
        weights: list[Any] = []
        trainer.callbacks[0].act = lambda t: weights.append(
            {k: v.clone() for k, v in t.detector.state_dict().items() if "num_batches" not in k}
        )
        with pytest.raises(NonFiniteLoss) as caught:
            trainer.fit()
        after = trainer.detector.state_dict()
        parameters = {name for name, _ in trainer.detector.named_parameters()}
        return {
            "message": str(caught.value),
            "positions": caught.value.batch.position.tolist(),
            "steps": len(weights),
            "touched": [n for n in parameters if not torch.equal(weights[-1][n], after[n])],
        }

    ends = on_ranks(connected(work))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    assert ends[0].value == ends[1].value
    found = ends[0].value
    # Step 2 has positions 8 to 15; of its second halves rank 0 has 12 and 13.
    assert found["positions"] == [12, 13]
    assert found["steps"] == 1
    assert found["touched"] == []
    assert found["message"] == (
        "the loss is not finite at step 2 (on rank 0, total = inf); photos of the batch: "
        "photo 12, photo 13."
    )


def test_a_gradient_that_is_not_finite_is_traced_to_its_rank_and_batch(
    make_trainer: MakeTrainer, on_ranks: OnRanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Criterion.forward

    def spoilt(self: Criterion, predictions: Any, batch: Any, seen: int) -> Any:
        parts = forward(self, predictions, batch, seen)
        if 6 in batch.position.tolist():
            # The square root of 0: a finite value with an infinite slope.
            none = (predictions.objectness * 0).square().sum().sqrt()
            return {**parts, "total": parts["total"] + none}
        return parts

    monkeypatch.setattr(Criterion, "forward", spoilt)

    def work(ranks: Ranks) -> Any:
        with pytest.raises(NonFiniteLoss) as caught:
            make_trainer(ranks, accumulate=2).fit()
        return str(caught.value), caught.value.batch.position.tolist()

    ends = on_ranks(connected(work))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    for message, positions in (end.value for end in ends):
        assert "at step 1 (on rank 1, its own is nan); photos of the batch: photo 6" in message
        assert positions == [6, 7]
    message, positions = work(ALONE)
    assert "the gradient's norm is nan at step 1 (its own is nan)" in message
    assert positions == [4, 5, 6, 7]


def test_broken_photos_are_counted_over_ranks(make_trainer: MakeTrainer, on_ranks: OnRanks) -> None:
    stream = Numbered(broken=frozenset({1, 2, 6, 13}))

    def work(ranks: Ranks) -> Any:
        trainer = make_trainer(ranks, stream=stream, max_broken=3)
        with pytest.raises(TooManyBroken, match="4 photos could not be read"):
            trainer.fit()
        return trainer.step, trainer.broken

    ends = on_ranks(connected(work))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    expected = [(f"lost {p}", "it is cut off") for p in (1, 2, 6, 13)]
    assert [end.value for end in ends] == [(2, expected)] * 2


def test_a_signal_to_one_rank_stops_all_after_the_same_step(
    make_trainer: MakeTrainer, on_ranks: OnRanks
) -> None:
    def work(ranks: Ranks) -> Any:
        def asked(trainer: Trainer) -> None:
            if trainer.step == 2 and ranks.rank == 1:
                trainer.stop("SIGTERM")

        trainer = make_trainer(ranks, steps=50, callbacks=[Watch(asked)])
        trainer.fit()
        return trainer.step, trainer.stop_reason

    ends = on_ranks(connected(work))
    # A callback comes after the ranks have agreed on this step's end; so the next one is the last.
    assert [end.value for end in ends] == [(3, "SIGTERM")] * 2


def test_a_signal_after_the_last_step_ends_all_ranks(
    make_trainer: MakeTrainer, on_ranks: OnRanks
) -> None:
    def work(ranks: Ranks) -> Any:
        def asked(trainer: Trainer) -> None:
            if trainer.step == 3 and ranks.rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)

        class Last(Quiet):
            """A last checkpoint (before StopOnSignal) or pictures (after it)."""

            def __init__(self, rank: int | None) -> None:
                self.rank = rank

            def end(self, trainer: Trainer) -> None:
                found.append(trainer.stop_reason)
                if ranks.rank == self.rank:
                    os.kill(os.getpid(), signal.SIGINT)

        ends = []
        for step, before, after in ((asked, None, None), (None, 0, None), (None, None, 0)):
            found: list[Any] = []
            watch = Watch(step) if step else Watch()
            ranks.asked.clear()
            callbacks = [watch, Last(before), StopOnSignal(), Last(after)]
            trainer = make_trainer(ranks, callbacks=callbacks)
            trainer.fit()
            ends.append((trainer.step, found[1], trainer.stop_reason))
        return ends

    ends = on_ranks(connected(work))
    expected = [(3, "SIGTERM", "SIGTERM"), (3, "SIGINT", "SIGINT"), (3, None, "SIGINT")]
    assert [end.value for end in ends] == [expected] * 2, [end.said for end in ends]


def test_layers_that_lead_nowhere_train_along_on_several_ranks(
    make_trainer: MakeTrainer, on_ranks: OnRanks, small_tree: Any
) -> None:
    network = {
        "backbone": "narrow",
        "backbone_options": {"widths": [8, 8, 16, 16], "blocks": [0, 0, 1, 0]},
        "neck": "none",
        "stride": 8,
        "anchors": [[12.0, 12.0]],
    }

    def make(ranks: Ranks = ALONE) -> Trainer:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            detector = Detector(small_tree, **network)
        return make_trainer(ranks, detector=detector, freeze_norm=True, accumulate=2)

    alone = trained(make())
    ends = on_ranks(connected(lambda ranks: trained(make(ranks))))
    assert [end.code for end in ends] == [0, 0], [end.said for end in ends]
    assert_close(ends[0].value, alone)
    first = make().detector.state_dict()
    moved = {key for key in first if not torch.equal(first[key], ends[0].value["weights"][key])}
    assert any("stages.2" in key for key in moved)
    assert not any("stages.3" in key for key in moved)


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_launcher_that_leaves_something_out_is_told_what(missing: str) -> None:
    whole = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    environment = {name: value for name, value in whole.items() if name != missing}
    with pytest.raises(UserError, match=rf"WORLD_SIZE=2 is set without {missing}; start the"):
        started(environment)
    assert started({**environment, "WORLD_SIZE": "1"}) is ALONE


def mistaken(*guilty: int) -> Callable[[Ranks], Any]:
    def work(ranks: Ranks) -> int:
        with ranks.agreeing():
            if ranks.rank in guilty:
                raise UserError("the file x is missing; give another one.")
        return 7

    return connected(work)


@pytest.mark.parametrize("guilty", [(0,), (1,), (2,), (0, 1, 2), (1, 2)])
def test_a_mistake_is_told_once_and_ends_all_ranks(on_ranks: OnRanks, guilty: tuple) -> None:
    ends = on_ranks(mistaken(*guilty), world=3)
    assert [end.code for end in ends] == [2, 2, 2]
    told = [end.said for end in ends if end.said]
    assert len(told) == 1
    assert told[0].startswith("error: the file x is missing; give another one")
    assert ("so says rank" in told[0]) == (0 not in guilty)


def test_without_a_mistake_all_go_on(on_ranks: OnRanks) -> None:
    assert [end.value for end in on_ranks(mistaken(), world=3)] == [7, 7, 7]


def test_what_rank_0_decides_all_know_and_its_mistake_ends_all(on_ranks: OnRanks) -> None:
    def decided(ranks: Ranks) -> Any:
        return ranks.first_decides(lambda: {"steps": 3, "of": [ranks.rank, None, 1.5]})

    ends = on_ranks(decided)
    assert [end.value for end in ends] == [{"steps": 3, "of": [0, None, 1.5]}] * 2

    def refused(ranks: Ranks) -> Any:
        def make() -> Any:
            raise UserError("unknown key 'stepz'.")

        return ranks.first_decides(make)

    ends = on_ranks(refused)
    assert [end.code for end in ends] == [2, 2]
    assert [end.said for end in ends] == ["error: unknown key 'stepz'.\n", ""]


def test_a_defect_of_one_rank_ends_the_other_too(on_ranks: OnRanks) -> None:
    def work(ranks: Ranks) -> Any:
        if ranks.rank == 1:
            raise ValueError("ours")
        return ranks.sum(torch.ones(2)).tolist()

    ends = on_ranks(connected(work))
    assert [end.code for end in ends] == [2, 1]
    assert "ValueError: ours" in ends[1].said
    assert "died or hangs" in ends[0].said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_dies_or_hangs_ends_the_other_in_time(
    make_trainer: MakeTrainer, on_ranks: OnRanks, number: signal.Signals
) -> None:
    began: list[int] = []

    def work(ranks: Ranks) -> Any:
        pids = ranks.gather_all(os.getpid())

        def dies(trainer: Trainer) -> None:
            if trainer.step == 2 and ranks.rank == 1:
                os.kill(os.getpid(), number)

        def gone(trainer: Trainer) -> None:
            began.append(trainer.step)

        trainer = make_trainer(ranks, steps=50, callbacks=[Watch(gone), Watch(dies)])
        start = time.monotonic()
        try:
            trainer.fit()
        finally:
            assert time.monotonic() - start < 10
            os.kill(pids[1], signal.SIGKILL)  # a process that is stopped would never end
        return began

    ends = on_ranks(connected(work, seconds=2))
    assert ends[0].code == 2, ends[0].said
    assert ends[0].said.count("error:") == 1
    assert "rank 0 waited in vain for another of the 2 processes" in ends[0].said
    assert "start them again with resume=RUN" in ends[0].said
    assert ends[1].code == -signal.SIGKILL


@dataclass(frozen=True)
class Photos:
    """A source of noise, of several sizes, some of which cannot be read."""

    count: int = 45
    broken: tuple[int, ...] = (3, 20, 44)
    name: str = "photos"
    kind: Kind = "boxed"

    def __len__(self) -> int:
        return self.count

    def read(self, index: int, *, size: tuple[int, int] | None = None) -> Sample:
        if index in self.broken:
            raise BrokenPhoto(f"photo{index}", "it is cut off")
        rng = np.random.default_rng(index)
        height, width = 24 + index % 5 * 8, 32
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        box = np.array([[2, 3, 20, 24]], np.float32)
        nodes, ignore = np.array([4 + index % 3]), np.zeros(1, bool)
        return Sample(image, "boxed", boxes=box, nodes=nodes, ignore=ignore, path=f"photo{index}")


def test_ranks_share_a_validation_and_get_what_one_process_gets(
    make_detector: Callable[..., Detector], small_tree: Any, on_ranks: OnRanks
) -> None:
    detector = make_detector()

    def validation(ranks: Ranks = ALONE, source: Any = None) -> Validation | None:
        return validate(
            detector,
            small_tree,
            source or Photos(),
            image_size=SIZE,
            device=CPU,
            threshold=0.5,
            objectness=0.3,
            batch_size=4,
            ranks=ranks,
        )

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = validation()
    torch.set_num_threads(torch_threads)
    assert alone is not None
    for world in (2, 3):
        ends = on_ranks(connected(validation), world=world)
        assert [end.code for end in ends] == [0] * world, [end.said for end in ends]
        assert [end.value for end in ends[1:]] == [None] * (world - 1)
        found = ends[0].value
        for part in ("image", "node", "score", "box"):
            expected = getattr(alone.scored, part)
            assert np.array_equal(getattr(found.scored, part), expected), part
            assert getattr(found.scored, part).dtype == expected.dtype
        assert np.array_equal(found.truths.box, alone.truths.box)
        assert np.array_equal(found.truths.sizes, alone.truths.sizes)
        assert found.broken == alone.broken
        assert len(alone.broken) == 3
        assert [s.path for s in found.samples] == [s.path for s in alone.samples]
        for one, other in zip(found.detections, alone.detections, strict=True):
            assert one.paths == other.paths
            assert np.array_equal(one.boxes, other.boxes)
        assert len({id(one.tree) for one in found.detections}) == 1

    none = replace(Photos(), broken=tuple(range(45)))
    ends = on_ranks(connected(lambda ranks: validation(ranks, none)))
    assert [end.code for end in ends] == [2, 2]
    assert "".join(end.said for end in ends).count("none of the 45 validation photos") == 1


@pytest.mark.parametrize("late", [0, 1])
def test_ranks_that_end_well_at_different_times_leave_in_silence(
    on_ranks: OnRanks, late: int
) -> None:
    def work(ranks: Ranks) -> int:
        ranks.connect(20)
        ranks.gather_all(0)
        time.sleep(0.5 * (ranks.rank == late))
        return 0

    assert [(end.code, end.said) for end in on_ranks(work)] == [(0, "")] * 2
