"""A fine-tuned model as an ONNX graph, in float32 or with int8 weights: a model of its own that needs no torch."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import mlflow
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema
from torch import nn

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import first_token, logged_models, packaging, text_classifier
from dlops.ml.inference_pipeline import COLUMNS
from dlops.registry import lineage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Form: TypeAlias = Literal["onnx", "onnx-int8"]

_CODE, _READER = (Path(__file__).with_name(name) for name in ("onnx_classifier.py", "onnx_graph.py"))
_GRAPH, _TOKENIZER, _DESCRIPTION = "model.onnx", "tokenizer.json", "export.json"
_REQUIREMENTS = ("mlflow", "onnxruntime", "tokenizers", "pandas", "numpy")
_OPSET = 23
"""The first that has attention and GELU as one operation each, which onnxruntime computes faster than their parts."""
_QUANTIZED = ("MatMul", "Gemm", "Gather")
"""Operations whose weights become int8; the quantizer would take attention for one of its own."""
_NO_BOUND = 10**9
"""Tokens from which on a tokenizer's bound is none."""
_TEXTS = ("a short text", "a text that is a little longer than the other one")
"""What the graph is traced with: two rows of several tokens, so that no length is taken for a constant."""


def log(uri: str, form: Form) -> str:
    """Export a logged model, and give the `models:/m-…` URI of what came of it; it is logged on the run that is open.

    Raises:
        StepFailed: the model has no weights as transformers writes them, or cannot be made a graph.
    """
    info = mlflow.models.get_model_info(uri)
    made: dict[str, Any] = info.metadata or {}
    with scratch.folder() as folder, logged_models.fetched(uri) as found:
        inside = folder / "model"
        inside.mkdir()
        write(found, inside, form)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logged = Model.log(
                name=form,
                artifact_path=None,
                flavor=mlflow.pyfunc,
                python_model=str(_CODE),
                artifacts={"model": str(inside), "reader": str(_READER)},
                signature=_signature(info.signature),
                pip_requirements=packaging.pinned(_REQUIREMENTS),
                metadata={**made, "format": form, "run_id": made.get("run_id") or info.run_id},
                tags={lineage.MADE_OF: uri},
            )
    return str(logged.model_uri)


def write(found: logged_models.Folders, folder: Path, form: Form) -> None:
    """Write graph, tokenizer and description to a folder.

    Raises:
        StepFailed: the model cannot be made a graph.
    """
    import onnxruntime  # as late as can be: it starts threads, which nobody needs who exports nothing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found.tokenizer, **text_classifier.options(found.tokenizer))
    if not tokenizer.is_fast:
        raise StepFailed(
            f"The model cannot be exported as {form}: its tokenizer is written in Python alone.",
            hint="Leave export= out; the model itself is not touched.",
        )
    model = text_classifier.load(found.weights).float()  # what is kept in 16 bits has no graph that runs everywhere
    config = getattr(model, "backbone", model).config
    alone = "sigmoid" if len(config.id2label) == 1 else "single_label_classification"  # as transformers' pipelines do
    kind = config.problem_type or alone
    names = _inputs(model, tokenizer)
    whole = folder / _GRAPH
    try:
        with _quietly():
            _trace(_Answering(first_token.shortened(model), kind, names).eval(), tokenizer, names, whole)
            if form == "onnx-int8":
                quantize(whole)
            onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever an exporter raises
        raise StepFailed(
            f"The model cannot be exported as {form}: {_told(error)}",
            hint="Leave export= out; the model itself is not touched.",
        ) from error
    tokenizer.backend_tokenizer.save(str(folder / _TOKENIZER))
    described = {
        "labels": [config.id2label[place] for place in range(len(config.id2label))],
        "kind": kind,
        "inputs": names,
        "truncation": {"max_length": tokenizer.model_max_length, "direction": tokenizer.truncation_side}
        if tokenizer.model_max_length < _NO_BOUND
        else None,
        "padding": {
            "pad_id": tokenizer.pad_token_id,
            "pad_token": tokenizer.pad_token,
            "pad_type_id": tokenizer.pad_token_type_id,
            "direction": tokenizer.padding_side,
        },
    }
    (folder / _DESCRIPTION).write_text(json.dumps(described, indent=2), encoding="utf-8")


class _Answering(nn.Module):
    """A model whose answers are probabilities, or numbers."""

    def __init__(self, model: nn.Module, kind: str, names: list[str]) -> None:
        super().__init__()
        self.model, self.kind, self.names = model, kind, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Take the inputs of a tokenizer, [rows, tokens] each; give [rows, labels]."""
        answer = self.model(**dict(zip(self.names, tensors, strict=True)))
        logits: torch.Tensor = getattr(answer, "logits", answer)
        if self.kind == "regression":
            return logits
        return logits.softmax(dim=1) if self.kind == "single_label_classification" else logits.sigmoid()


def _signature(model: ModelSignature | None) -> ModelSignature | None:
    """Take the columns that the classifier takes, whatever the model called its own."""
    if model is None or (model.inputs.has_input_names() and set(model.inputs.input_names()) <= set(COLUMNS)):
        return model
    columns = [ColSpec(DataType.string, name) for name in COLUMNS[: len(model.inputs)]]
    return ModelSignature(inputs=Schema(columns), outputs=model.outputs)


def _told(error: Exception) -> str:
    """Say in a line what was wrong at first: exporters wrap it in stories, some of them coloured."""
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(cause)).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else 'it does not say why'}"


def _inputs(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Name what the tokenizer makes and the model takes."""
    taken = inspect.signature(getattr(model, "backbone", model).forward).parameters
    return [name for name in tokenizer.model_input_names if name in taken]


def _trace(model: nn.Module, tokenizer: PreTrainedTokenizerBase, names: list[str], graph: Path) -> None:
    inputs = tokenizer(list(_TEXTS), padding=True, return_tensors="pt")
    torch.onnx.export(
        model,
        tuple(inputs[name] for name in names),
        str(graph),
        input_names=names,
        output_names=["scores"],
        dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for _ in names),),
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
    )


def quantize(graph: Path) -> None:
    """Keep the weights of a graph as int8, and multiply in it: activations are brought to eight bits as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = onnx.load(graph)
    del whole.graph.value_info[:]  # the exporter transposes weights, and leaves the shapes that they had
    small = graph.with_name("small.onnx")
    # Of seven bits: with eight, sums overflow on processors that do not multiply bytes into 32 bits.
    quantize_dynamic(
        whole,
        small,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        op_types_to_quantize=list(_QUANTIZED),
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # of what its inference of shapes does not know
    )
    small.replace(graph)
    graph.with_name(f"{graph.name}.data").unlink(missing_ok=True)  # where weights of more than 1.5 GB were


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep to ourselves what exporters print about each of their steps."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx", "onnx_ir", "root")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
