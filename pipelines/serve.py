"""Serve a model over HTTP until somebody asks for the end: by its fastest engine, from the version an alias names."""

from __future__ import annotations

import signal

from dlops.ml import logged_models, record, step
from dlops.ml.progress import say
from dlops.ml.serving import listening
from dlops.ml.serving.app import Server
from dlops.ml.settings import Serve


def serve(settings: Serve) -> None:
    """Listen, make the model ready, tell where, and answer."""
    run_id = record.run_id()

    def ready(url: str, server: Server) -> None:
        champion = server.traffic.champion
        assert champion
        with record.within(str(run_id)):  # in another thread than the one that has the run open
            record.resolved("model", champion.model.uri)
            if model_id := logged_models.model_id(champion.model.uri):
                record.model_input(model_id)
            record.tag("engine", champion.kept.told.form)
            record.output("url", url)
        say(f"Serving {champion.model.told} on {url}")

    asked = listening.run(settings, ready)
    if asked:  # all requests are answered: now the run ends as one that was asked to
        signal.raise_signal(asked)


if __name__ == "__main__":
    step.main(Serve, serve)
