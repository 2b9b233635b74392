"""Checkpoints that are hurt: bits flipped, tails cut, crashes, full disks, hostile files."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from detector.weights import prune, read_checkpoint, verify, write_checkpoint
from detector.weights.manifest import FILES, MANIFEST, manifest_bytes
from wordtree import UserError

EVERY_FILE = (*FILES, MANIFEST)
FORK = multiprocessing.get_context("fork")


def write(weights: Path, step: int, value: float | None = None, size: int = 64) -> Path:
    tensors = {"w": torch.full((size,), float(step if value is None else value))}
    return write_checkpoint(
        weights, step, model=tensors, ema=tensors, optimizer={"m": tensors}, state={"seen": step}
    )


def value_of(folder: Path) -> float:
    """The number that all of a checkpoint's tensors hold, which must be one and the same."""
    found = read_checkpoint(folder)
    tensors = (found.model["w"], found.ema["w"], found.optimizer["m"]["w"])
    values = torch.cat(tensors).unique().tolist()
    assert len(values) == 1
    return float(values[0])


def reseal(folder: Path) -> None:
    """A manifest that fits changed files, as someone hostile would write it."""
    contents = {name: (folder / name).read_bytes() for name in FILES}
    (folder / MANIFEST).write_bytes(manifest_bytes(contents))


# -- damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_FILE)
def test_one_flipped_bit_is_refused_and_the_file_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, 1)
    whole = (folder / name).read_bytes()
    rng = random.Random(name)
    for _ in range(20):
        place, bit = rng.randrange(len(whole)), rng.randrange(8)
        hurt = bytearray(whole)
        hurt[place] ^= 1 << bit
        (folder / name).write_bytes(hurt)
        with pytest.raises(UserError) as refusal:
            read_checkpoint(folder)
        assert f"{folder / name} is damaged" in str(refusal.value), (place, bit)
    (folder / name).write_bytes(whole)
    verify(folder)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_cut_tail_is_refused_and_the_file_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, 1)
    whole = (folder / name).read_bytes()
    for length in {0, 1, len(whole) // 2, len(whole) - 1}:
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(UserError) as refusal:
            verify(folder)
        assert f"{folder / name} is damaged" in str(refusal.value), length
    (folder / name).unlink()
    with pytest.raises(UserError) as refusal:
        verify(folder)
    assert f"{folder / name} is damaged" in str(refusal.value)


def test_the_newest_whole_checkpoint_is_offered_in_place_of_a_damaged_one(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step)
    for step in (3, 4):
        (tmp_path / f"step-{step}" / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"step-2 is whole: use it"):
        verify(tmp_path / "step-4")
    for step in (1, 2):
        (tmp_path / f"step-{step}" / MANIFEST).unlink()
    with pytest.raises(UserError, match="no other checkpoint here is whole"):
        verify(tmp_path / "step-4")


# -- crashes and full disks ------------------------------------------------------------------


class Crash(BaseException):
    """Stands for a process that dies: nothing but the test catches it."""


@contextmanager
def failing_at(call: int, error: BaseException) -> Iterator[list[str]]:
    """Makes the call number `call` that changes the disk raise; gives the names of all calls."""
    calls: list[str] = []

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            calls.append(function.__name__)
            if len(calls) - 1 == call:
                raise error
            return function(*args, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (os, "fsync"),
            (Path, "mkdir"),
            (Path, "rename"),
            (Path, "replace"),
            (Path, "symlink_to"),
            (shutil, "rmtree"),
            (shutil, "copytree"),
        ):
            patch.setattr(owner, name, wrap(getattr(owner, name)))
        yield calls


@pytest.mark.parametrize("again", [False, True], ids=["a new step", "a step reached again"])
def test_a_crash_at_any_change_of_the_disk_leaves_last_whole(tmp_path: Path, again: bool) -> None:
    step = 2 if again else 3
    for call in range(100):
        weights = tmp_path / str(call)
        write(weights, 1)
        write(weights, 2)
        try:
            with failing_at(call, Crash()) as calls:
                write(weights, step, value=9)
        except Crash:
            assert value_of(weights / "last") in (2, 9), calls[call]
            write(weights, 4)
            prune(weights)
            assert value_of(weights / "last") == 4
        else:
            assert value_of(weights / "last") == 9
            assert call == len(calls) > 8
            return
    pytest.fail("the write never ended")


@pytest.mark.parametrize("again", [False, True], ids=["a new step", "a step reached again"])
def test_a_full_disk_at_any_moment_leaves_the_older_checkpoint_whole(
    tmp_path: Path, again: bool
) -> None:
    step = 2 if again else 3
    for call in range(100):
        weights = tmp_path / str(call)
        write(weights, 1)
        write(weights, 2)
        refusal = ""
        with failing_at(call, OSError(errno.ENOSPC, "No space left on device")) as calls:
            try:
                write(weights, step, value=9)
            except UserError as error:
                refusal = str(error)
        if not refusal:
            assert call == len(calls) > 8
            return
        assert "No space left on device" in refusal
        assert "is whole" in refusal
        assert value_of(weights / "last") in (2, 9), calls[call]
        assert not (weights / f".tmp-step-{step}").exists()
        assert value_of(weights / "step-1") == 1
    pytest.fail("the write never ended")


def _write_beyond_the_limit(weights: Path, answer: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        write(weights, 2, size=20_000)
    except UserError as refusal:
        answer.send(str(refusal))


def test_a_disk_that_takes_no_more_bytes_is_a_clear_error(tmp_path: Path) -> None:
    write(tmp_path, 1)
    answer, child_end = FORK.Pipe()
    child = FORK.Process(target=_write_beyond_the_limit, args=(tmp_path, child_end))
    child.start()
    child.join(30)
    assert answer.poll(0)
    assert answer.recv() == (
        f"{tmp_path / 'step-2'} could not be written (File too large); the older "
        f"{tmp_path / 'step-1'} is whole: free or mend the disk and resume the run."
    )
    assert value_of(tmp_path / "last") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"step-1", "last"}


def _write_for_ever(weights: Path, first: int) -> None:
    for step in range(first, first + 100_000):
        write(weights, step, size=20_000)
        write(weights, step, value=step + 0.5, size=20_000)
        prune(weights)


def test_kill_9_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    rng = random.Random(0)
    step = 0
    for _ in range(10):
        child = FORK.Process(target=_write_for_ever, args=(tmp_path, step + 1))
        child.start()
        deadline = time.monotonic() + 20
        while not (tmp_path / "last").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        child.kill()
        child.join()
        found = read_checkpoint((tmp_path / "last").resolve())
        assert value_of(found.folder) in (found.state["step"], found.state["step"] + 0.5)
        assert found.state["step"] >= step
        step = found.state["step"]
    assert step > 0


# -- hostile files ---------------------------------------------------------------------------


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("legacy", [False, True], ids=["torch.save", "bare pickle"])
def test_a_pickle_payload_is_refused_and_not_executed(tmp_path: Path, legacy: bool) -> None:
    folder, mark = write(tmp_path, 1), tmp_path / "executed"
    if legacy:
        (folder / "optimizer.pt").write_bytes(pickle.dumps(Payload(mark), protocol=2))
    else:
        torch.save({"state": Payload(mark)}, folder / "optimizer.pt")
    reseal(folder)
    with pytest.raises(UserError, match=r"optimizer\.pt is not a file that this project wrote"):
        read_checkpoint(folder)
    assert not mark.exists()
    read_checkpoint(folder, with_optimizer=False)


def _with_header(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


def _one_tensor(**changes: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return _with_header(json.dumps({"w": entry}).encode()) + bytes(8)


@pytest.mark.parametrize(
    "data",
    [
        _with_header(b"{}", length=2**64 - 1),
        _with_header(b"{}", length=2**40),
        _with_header(b"[" * 100_000),
        _with_header(b"\xff\xfe"),
        _one_tensor(shape=[2**62, 2**62]),
        _one_tensor(shape=[-2]),
        _one_tensor(data_offsets=[0, 2**63]),
        _one_tensor(data_offsets=[8, 0]),
        _one_tensor(dtype="PICKLE"),
    ],
    ids=lambda data: repr(data[8:60]),
)
@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors"])
def test_an_absurd_safetensors_header_is_a_clear_error(
    tmp_path: Path, name: str, data: bytes
) -> None:
    folder = write(tmp_path, 1)
    (folder / name).write_bytes(data)
    reseal(folder)
    with pytest.raises(UserError, match=rf"{name} is not a file that this project wrote"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "nul", '{"a": NaN}', "[" * 100_000, '{"a": "\udcff"}', "1" * 5000]
)
def test_a_state_that_is_no_object_of_json_is_a_clear_error(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path, 1)
    (folder / "state.json").write_bytes(text.encode(errors="surrogateescape"))
    reseal(folder)
    with pytest.raises(UserError, match=r"state\.json is not a file that this project wrote"):
        read_checkpoint(folder)


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    contents = {name: (folder / name).read_bytes() for name in FILES[:-1]}
    secret = tmp_path / "secret"
    secret.write_text("x")
    contents["../secret"] = secret.read_bytes()
    (folder / MANIFEST).write_bytes(manifest_bytes(contents))
    with pytest.raises(UserError, match=MANIFEST):
        verify(folder)
