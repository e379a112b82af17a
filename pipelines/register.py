"""Register a model that has earned it: judged beside the champion, held to requirements, answering as it was judged."""

from __future__ import annotations

from dataclasses import replace

from mlflow import MlflowClient

from dlops.config.inference import Inference
from dlops.errors import GateFailed, UsageError
from dlops.ml import exports, inference_packaging, judging, logged_models, record, registration, step
from dlops.ml.progress import say
from dlops.ml.registration import UNFINISHED
from dlops.ml.settings import Register


def register(settings: Register) -> None:
    """Judge the model; if nothing speaks against it, make it a version, and give it its alias."""
    client = MlflowClient()
    named, classifier = settings.model, logged_models.resolve(settings.model)
    declared = inference_packaging.declared(settings.inference_pipeline)
    if (declared or settings.export) and logged_models.origin(classifier) != classifier:
        raise UsageError(
            f"model={named} is an export or a package of another model: its forms are made of that one.",
            hint=f"Name {logged_models.origin(classifier)}.",
        )
    registration.check(settings.name, classifier)
    champion = registration.champion(client, settings.name)
    made_of = inference_packaging.tags(classifier, declared) if declared else {}
    known = registration.existing(client, settings.name, classifier, made_of)
    finished = known if known and UNFINISHED not in known.tags else None
    forms = exports.missing(settings.export, known.tags if known else {})
    if finished:
        say(f"The model is version {finished.version} of {settings.name} already: nothing is registered.")
        record.output("version", f"models:/{settings.name}/{finished.version}")
        if not forms and (not settings.promote or finished.version == champion):
            return

    def packaged(uri: str) -> str:
        return _packaged(uri, declared, settings) if declared else uri

    uri = logged_models.resolve(f"models:/{settings.name}/{known.version}") if known else packaged(classifier)
    is_to_rise = (settings.promote or not finished) and not (known and known.version == champion)
    rival = champion if settings.beat != "any" and is_to_rise else None
    against = settings.against or (f"models:/{settings.name}/{rival}" if rival else None)
    settings = replace(settings, model=uri, against=against)
    found, requirements = judging.judge(settings)
    judging.log(found, requirements)
    problems = registration.problems(found, requirements, settings, contested=bool(rival))
    if problems:
        raise GateFailed(f"{named} is not registered as {settings.name}.", problems=problems)
    made = exports.make(classifier, forms, found, settings, packaged)
    tags = made_of | {name: text for export in made for name, text in export.tags.items()}
    if finished:
        registration.tag(client, settings.name, finished.version, tags)
    version = finished.version if finished else registration.register(found, settings, tags, known)
    record.output("version", f"models:/{settings.name}/{version}")
    if settings.promote or not finished:
        registration.settle(client, version, champion, settings)


def _packaged(uri: str, declared: Inference, settings: Register) -> str:
    say(f"{uri} is packaged with its inference pipeline")
    return inference_packaging.log(uri, declared, dataset=settings.dataset, name=settings.name)


if __name__ == "__main__":
    step.main(Register, register)
