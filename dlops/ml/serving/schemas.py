"""What the server's own endpoints take and give, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    """What has a field that nobody knows is wrong: it is misspelt."""

    model_config = ConfigDict(extra="forbid")


class PredictRequest(_Strict):
    """Texts to answer: one (`text`), or several (`texts`); where the model takes pairs, with second texts."""

    text: str | None = Field(None, examples=["A wonderful film."])
    text_pair: str | None = None
    texts: list[str] | None = None
    text_pairs: list[str] | None = None
    key: str | None = Field(None, description="Who asks: the same version answers them, instead of the header X-Key.")

    @model_validator(mode="after")
    def _one_form(self) -> PredictRequest:
        if (self.text is None) == (self.texts is None):
            raise ValueError("name either text or texts")
        if self.text_pair is not None and self.text is None:
            raise ValueError("text_pair goes with text")
        if self.text_pairs is not None and len(self.text_pairs) != len(self.texts or ()):
            raise ValueError("text_pairs goes with texts, one for each")
        return self

    def rows(self) -> list[list[str]]:
        """Give the texts row by row."""
        if self.text is not None:
            return [[self.text] if self.text_pair is None else [self.text, self.text_pair]]
        texts = self.texts or []
        return (
            [list(row) for row in zip(texts, self.text_pairs, strict=True)] if self.text_pairs else [[t] for t in texts]
        )


class Model(BaseModel):
    """Which model answered."""

    name: str | None
    version: str | None
    uri: str
    run_id: str | None
    engine: str


class Prediction(BaseModel):
    """The answer to a text; models may give more than this."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="What feedback on this answer names.")
    label: Any
    score: float | None = None
    scores: dict[str, float] | None = None


class PredictResponse(BaseModel):
    """Answers, in the order of the texts."""

    request_id: str
    model: Model
    predictions: list[Prediction]


class ExplainRequest(_Strict):
    """A text whose answer is explained."""

    text: str = Field(examples=["A wonderful film."])
    label: str | None = Field(None, description="The label that is explained; left out, the likeliest.")
    method: Literal["integrated_gradients", "shap"] = "integrated_gradients"
    key: str | None = Field(None, description="Who asks: the version that answers them explains.")


class ExplainResponse(BaseModel):
    """What each token adds to the label's score: base and values come to it, up to the method's error."""

    request_id: str
    model: Model
    label: str
    score: float
    base: float
    method: str
    tokens: list[str]
    values: list[float]


class FeedbackRequest(_Strict):
    """The true label of an earlier answer."""

    id: str = Field(description="Of the answer: its `id`, or the request's, if that had one text.")
    label: str | float | list[str]


class FeedbackResponse(BaseModel):
    """What was told then."""

    id: str
    predicted: Any
    correct: bool


class Problem(BaseModel):
    """What went wrong."""

    detail: Any
