"""MLflow (extra `mlflow`), at MLFLOW_TRACKING_URI, else in `mlflow.db` beside the run folder."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class MlflowLogger:
    """A resumed run goes on in the same MLflow run, whose id stands in `mlflow_id.txt`."""

    def __init__(self, folder: Path, *, title: str, config: Mapping[str, object]) -> None:
        from mlflow import MlflowClient, entities

        place, given = folder.resolve().parent, os.environ.get("MLFLOW_TRACKING_URI")
        self._client = client = MlflowClient(given or f"sqlite:///{place / 'mlflow.db'}")
        self._metric, kept = entities.Metric, folder / "mlflow_id.txt"
        if not kept.is_file():
            name, files = title.split("/")[0], None if given else (place / "mlruns").as_uri()
            known = client.get_experiment_by_name(name)
            number = known.experiment_id if known else client.create_experiment(name, files)
            kept.write_text(client.create_run(number, run_name=title).info.run_id + "\n")
            for key, value in config.items():
                client.log_param(kept.read_text().strip(), key, str(value)[:500])
        self._run = kept.read_text().strip()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = round(time.time() * 1000)
        rows = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, rows)

    def image(self, step: int, name: str, array: NDArray[np.uint8]) -> None:
        self._client.log_image(self._run, array, key=name, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)
