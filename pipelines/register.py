"""Register a model that has earned it: judged beside the champion, held to requirements, answering as it was judged."""

from __future__ import annotations

from dataclasses import replace

from mlflow import MlflowClient

from dlops.errors import GateFailed
from dlops.ml import judging, logged_models, record, registration, step
from dlops.ml.progress import say
from dlops.ml.registration import UNFINISHED
from dlops.ml.settings import Register


def register(settings: Register) -> None:
    """Judge the model; if nothing speaks against it, make it a version, and give it its alias."""
    client = MlflowClient()
    named, uri = settings.model, logged_models.resolve(settings.model)
    registration.check(settings.name, uri)
    champion = registration.champion(client, settings.name)
    known = registration.existing(client, settings.name, uri)
    finished = known if known and UNFINISHED not in known.tags else None
    if finished:
        say(f"The model is version {finished.version} of {settings.name} already: nothing is registered.")
        record.output("version", f"models:/{settings.name}/{finished.version}")
        if not settings.promote or finished.version == champion:
            return
    against = settings.against or (
        f"models:/{settings.name}/{champion}" if champion and settings.beat != "any" else None
    )
    settings = replace(settings, model=uri, against=against)
    found, requirements = judging.judge(settings)
    judging.log(found, requirements)
    problems = registration.problems(found, requirements, settings, contested=bool(champion))
    if problems:
        raise GateFailed(f"{named} is not registered as {settings.name}.", problems=problems)
    version = finished.version if finished else registration.register(found, settings, known)
    record.output("version", f"models:/{settings.name}/{version}")
    registration.settle(client, version, champion, settings)


if __name__ == "__main__":
    step.main(Register, register)
