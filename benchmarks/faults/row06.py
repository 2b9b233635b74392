"""Checkpoint files made by someone hostile: pickles that run code, absurd sizes, deep nests.

The suite's tests of it are run (in tests/detector/test_weights_faults.py), and every call of the
project that could run code from a file is looked up in its source.
"""

from __future__ import annotations

import ast

from benchmarks.faults.suite import run_tests
from benchmarks.faults.tiny_run import ROOT

ROOMS = ("wordtree", "data", "detector", "tools")
# Modules whose readers run code.
SAFE_LOADERS = ("yaml.SafeLoader", "_StrictLoader")  # the second is a subclass, in labels.py
REFUSED_MODULES = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}


def run(*, seconds: int) -> str:
    """Tests and source; `seconds` does not matter."""
    del seconds
    # By whole names: `-k` takes a word in a file's name or a parameter for a hit too.
    passed = run_tests(*(f"tests/detector/test_weights_faults.py::{name}" for name in HOSTILE))
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    loads = [found for path in files for found in reads_of(ast.parse(path.read_text("utf-8")))]
    return (
        f"{passed} hostile files refused and nothing executed; {len(loads)} calls of torch.load in "
        f"{len(files)} source files, all with weights_only=True, no pickle and no unsafe YAML"
    )


HOSTILE = (
    "test_a_pickle_payload_is_refused_and_not_executed",
    "test_an_absurd_safetensors_header_is_a_clear_error",
    "test_a_state_that_is_no_object_of_json_is_a_clear_error",
    "test_a_manifest_cannot_lead_out_of_its_folder",
)


def reads_of(tree: ast.AST) -> list[str]:
    """The calls of torch.load; AssertionError for a call or an import that could run code."""
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not REFUSED_MODULES & {name.partition(".")[0] for name in names}, ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {one.arg: ast.unparse(one.value) for one in node.keywords}
        if called == "torch.load":
            assert options.get("weights_only") == "True", ast.unparse(node)
            found.append(ast.unparse(node))
        # numpy's default refuses pickles; yaml.load takes the loader that it is given.
        assert options.get("allow_pickle") != "True", ast.unparse(node)
        assert called not in ("yaml.unsafe_load", "eval", "exec"), ast.unparse(node)
        if called == "yaml.load":
            assert options["Loader"] in SAFE_LOADERS, ast.unparse(node)
    return found
