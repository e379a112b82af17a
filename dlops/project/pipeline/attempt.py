"""One attempt at one step: launched, followed in a thread of its own, and told of in a queue."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from dlops.errors import DlopsError, Interrupted
from dlops.project import launch
from dlops.project.outcome import Outcome
from dlops.project.plan import Request
from dlops.targets.interface import Event, Launched, Target
from dlops.worker import masking

_PATCH = "source.diff"
"""Artifact that is kept as it is, or as what its run says it is."""
News = SimpleQueue[tuple[str, Event | Outcome | DlopsError]]
"""Which step, and what of it: an event on the way, or its end."""


class Attempt:
    """A step that was launched; its end comes as the last piece of news."""

    def __init__(
        self,
        name: str,
        request: Request,
        target: Target,
        news: News,
        artifacts: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """Launch a step; `secrets` of others are masked in its record, as its own are."""
        self._name, self._request, self._target, self._news = name, request, target, news
        self._artifacts, self._secrets = dict(artifacts or {}), tuple(secrets)
        self._launched: Launched | None = None
        self._ending = False
        threading.Thread(target=self._follow, name=name, daemon=True).start()

    def end(self) -> None:
        """Ask the step to end; asked again, it is killed."""
        self._ending = True
        if launched := self._launched:
            threading.Thread(target=self._terminate, args=(launched,), daemon=True).start()

    def _follow(self) -> None:
        try:
            self._news.put((self._name, self._outcome()))
        except DlopsError as error:
            self._news.put((self._name, error))
        except Exception as error:  # a bug: the pipeline says so, and ends
            self._news.put((self._name, DlopsError(f"{type(error).__name__}: {error}")))

    def _outcome(self) -> Outcome:
        planned, job = launch.prepare(self._request, self._target, self._show)
        if self._ending:
            raise Interrupted(f"{self._name} was ended before its run began.")
        job = replace(
            job,
            params={name: masking.text(value, self._secrets) for name, value in job.params.items()},
            artifacts={
                name: text if name == _PATCH else masking.text(text, self._secrets)
                for name, text in {**job.artifacts, **self._artifacts}.items()
            },
            secrets=(*job.secrets, *self._secrets),
        )
        launched = self._launched = self._target.start(job, self._show)
        if self._ending:  # asked for while it was handed over
            self._terminate(launched)
        return launch.follow(planned, launched, self._show)

    def _terminate(self, launched: Launched) -> None:
        try:
            launched.terminate()
        except Exception as error:  # a cluster that does not answer: the run's record has the wish, too
            self._show({"event": "warning", "text": f"{self._name} could not be asked to end: {error}"})

    def _show(self, event: dict[str, Any]) -> None:
        self._news.put((self._name, event))
