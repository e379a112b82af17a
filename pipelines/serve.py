"""Serve a model over HTTP until somebody asks for the end: by its fastest engine, from the version an alias names."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from dlops.data import cluster
from dlops.errors import UsageError
from dlops.ml import logged_models, record, step
from dlops.ml.progress import say
from dlops.ml.settings import Serve


def serve(settings: Serve) -> None:
    """Make the model ready, here or on the cluster that this is a job of, tell where, and answer."""
    run_id = record.run_id()

    def ready(url: str, champion: Mapping[str, str | None]) -> None:
        uri = str(champion["uri"])
        with record.within(str(run_id)):  # in another thread than the one that has the run open
            record.resolved("model", uri)
            if model_id := logged_models.model_id(uri):
                record.model_input(model_id)
            record.tag("engine", str(champion["engine"]))
            record.output("url", url)
        told = f"{champion['name']} version {champion['version']}" if champion["version"] else uri
        say(f"Serving {told} on {url}")

    if cluster.is_named():
        from dlops.ml.serving import replicas

        replicas.run(settings, ready)
        return
    if (settings.path, settings.replicas, settings.max_replicas) != (Serve.path, Serve.replicas, Serve.max_replicas):
        raise UsageError(
            "path, replicas and max_replicas are for a server on a Ray cluster.",
            hint="Launch it there (--on NAME); on this machine, workers= says how many processes answer.",
        )
    from dlops.ml.serving import listening

    asked = listening.run(settings, ready)
    if asked:  # all requests are answered: now the run ends as one that was asked to
        signal.raise_signal(asked)


if __name__ == "__main__":
    step.main(Serve, serve)
