"""Register a model that has earned it: judged beside the champion, held to requirements, answering as it was judged."""

from __future__ import annotations

from dataclasses import replace

from mlflow import MlflowClient

from dlops.errors import GateFailed
from dlops.ml import judging, logged_models, record, registration, step
from dlops.ml.progress import say
from dlops.ml.settings import Register


def register(settings: Register) -> None:
    """Judge the model; if nothing speaks against it, make it a version, and give it its alias."""
    client = MlflowClient()
    uri = logged_models.resolve(settings.model)
    registration.check(settings.name, uri)
    champion = registration.champion(client, settings.name)
    known = registration.existing(client, settings.name, uri)
    if known:
        say(f"The model is version {known.version} of {settings.name} already: nothing is registered.")
        record.output("version", f"models:/{settings.name}/{known.version}")
        if not settings.promote or known.version == champion:
            return
    if champion and not settings.against:
        settings = replace(settings, against=f"models:/{settings.name}/{champion}")
    found, requirements = judging.judge(settings)
    judging.log(found, requirements)
    against = registration.problems(found, requirements, settings, contested=bool(champion))
    if against:
        raise GateFailed(f"{settings.model} is not registered as {settings.name}.", problems=against)
    version = known.version if known else registration.register(found, settings)
    record.output("version", f"models:/{settings.name}/{version}")
    registration.settle(client, version, champion, settings)


if __name__ == "__main__":
    step.main(Register, register)
