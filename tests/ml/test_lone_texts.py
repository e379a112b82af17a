"""The graph for lone texts answers as the other does, and there is none where a mask is more than padding."""

from __future__ import annotations

import json
import shutil

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlops.ml import lone_texts, onnx_export
from dlops.ml.engines import engine, making, store
from dlops.ml.engines.engine import COLUMNS, DESCRIPTION, MODEL, Description
from dlops.ml.engines.served import Served
from dlops.ml.onnx_graph import GRAPH, LONE, Graph
from tests.ml.conftest import WORDS
from tests.ml.test_onnx_export import logged

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided")
HEADS, WIDTH, TOKENS = 3, 4, 16
TEXTS = [" ".join(np.random.default_rng(size).choice(WORDS, size)) for size in (0, 1, 2, 7, 40)]


def attending(mask="padding", *, fewer=HEADS, taken=False, **attributes):
    """A graph of one attention over embedded words, which is masked in one way or the other."""
    drawn = np.random.default_rng(0)
    full = HEADS * WIDTH
    constants = {
        "words": drawn.normal(size=(9, full)).astype(np.float32),
        "few": drawn.normal(size=(9, fewer * WIDTH)).astype(np.float32),
        "parts": np.array([1, -1, HEADS, WIDTH]),
        "fewer": np.array([1, -1, fewer, WIDTH]),
        "whole": np.array([1, -1, full]),
        "axes": np.array([1, 2]),
        "zeroth": np.array([0]),
        "zero": np.array(0),
        "one": np.array(1),
        "near": np.array(8),
        "nobody": np.array(3.0, np.float32),  # no node reads it
    }
    masks = {
        "padding": [("Cast", ["attention_mask"], "bools", {"to": TensorProto.BOOL})],
        "words": [("Cast", ["input_ids"], "bools", {"to": TensorProto.BOOL})],
        "floats": [("Cast", ["attention_mask"], "bools", {"to": TensorProto.FLOAT})],
        "lengths": [
            ("Shape", ["input_ids"], "shape", {}),
            ("ConstantOfShape", ["shape"], "ones", {"value": numpy_helper.from_array(np.array([True]))}),
            ("Cast", ["attention_mask"], "padding", {"to": TensorProto.BOOL}),
            ("And", ["ones", "padding"], "bools", {}),
        ],
        "window": [
            ("Shape", ["attention_mask"], "shape", {"start": 1, "end": 2}),
            ("Squeeze", ["shape"], "length", {}),
            ("Range", ["zero", "length", "one"], "places", {}),
            ("Less", ["places", "near"], "close", {}),
            ("Unsqueeze", ["close", "zeroth"], "bools", {}),
        ],
    }
    nodes = [("Gather", ["words", "input_ids"], "q3", {}), ("Gather", ["few", "input_ids"], "k3", {})]
    for name, whole, shape in (("q", "q3", "parts"), ("k", "k3", "fewer"), ("v", "k3", "fewer")):
        nodes += [
            ("Reshape", [whole, shape], f"{name}4", {}),
            ("Transpose", [f"{name}4"], name, {"perm": [0, 2, 1, 3]}),
        ]
    if mask:
        nodes += [
            *masks[mask],
            ("Unsqueeze", ["bools", "axes"], "row", {}),  # [texts, 1, 1, tokens]
            ("Transpose", ["row"], "column", {"perm": [0, 1, 3, 2]}),
            ("Shape", ["column"], "tall", {}),
            ("Expand", ["row", "tall"], "mask", {}),
        ]
    nodes += [
        ("Attention", ["q", "k", "v", *(["mask"] if mask else [])], "attended", {"scale": 0.7, **attributes}),
        ("Transpose", ["attended"], "joined", {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["joined", "whole"], "scores", {}),
    ]
    names = ["scores", *(["attended"] if taken else [])]
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **more) for kind, given, made, more in nodes],
        "attending",
        [helper.make_tensor_value_info(one, TensorProto.INT64, ["b", "s"]) for one in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in names],
        [numpy_helper.from_array(one, name) for name, one in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def answered(model, ids):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]


@pytest.mark.parametrize("mask", ["padding", "lengths", None])
def test_attention_that_only_padding_masks_is_computed_without_a_mask(mask):
    model = attending(mask)
    lone = lone_texts.of(model, TOKENS)
    kinds = [node.op_type for node in lone.graph.node]
    assert kinds == ["Gather", "Gather", "MultiHeadAttention"]
    assert [one.i for one in lone.graph.node[2].attribute if one.name == "num_heads"] == [HEADS]
    assert [one.name for one in lone.graph.initializer] == ["words", "few"]
    assert "Attention" in [node.op_type for node in model.graph.node], "what was given stays as it was"
    for length in (1, 2, 5, TOKENS):
        ids = np.random.default_rng(length).integers(9, size=(1, length))
        assert answered(lone, ids) == pytest.approx(answered(model, ids), abs=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        attending("words"),
        attending("window"),
        attending("floats"),
        attending(fewer=1),
        attending(is_causal=1),
        attending(softcap=2.0),
        attending(taken=True),
    ],
    ids=["by words", "a window", "added", "fewer heads", "causal", "capped", "taken twice"],
)
def test_other_attention_stays_as_it_is(model):
    assert lone_texts.of(model, TOKENS) is None


def test_a_window_that_no_text_is_longer_than_is_none():
    assert lone_texts.of(attending("window"), 8) is not None


def test_one_that_cannot_be_replaced_keeps_all_as_they_are():
    model = attending()
    for node in attending(is_causal=1).graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in ("words", "attention_mask") else f"{name}_2" for name in names]
        model.graph.node.append(node)
    model.graph.initializer.extend(
        numpy_helper.from_array(numpy_helper.to_array(one), f"{one.name}_2")
        for one in attending().graph.initializer
        if one.name != "words"
    )
    model.graph.input.append(helper.make_tensor_value_info("input_ids_2", TensorProto.INT64, ["b", "s"]))
    model.graph.output.append(helper.make_tensor_value_info("scores_2", TensorProto.FLOAT, None))
    assert lone_texts.of(model, TOKENS) is None


def test_a_graph_without_attention_has_none():
    model = attending()
    del model.graph.node[1:]
    model.graph.node.append(helper.make_node("Identity", ["q3"], ["scores"]))
    assert lone_texts.of(model, TOKENS) is None


@pytest.fixture
def exported(run, tiny_model, tmp_path):
    """Give a function that writes the folder of an export."""

    def write(form, head="all_layers"):
        uri = onnx_export.log(logged(tiny_model, head=head), form)
        found = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / f"got-{form}"))
        return shutil.copytree(f"{found}/artifacts/model", tmp_path / form)

    return write


@pytest.mark.parametrize(("form", "head"), [("onnx", "standard"), ("onnx", "mean"), ("onnx-int8", "standard")])
def test_an_export_answers_lone_texts_as_before(exported, form, head):
    folder = exported(form, head)
    before = Graph(folder)
    assert lone_texts.keep(folder)
    after = Graph(folder)
    kinds = {node.op_type for node in onnx.load(folder / LONE).graph.node}
    assert "MultiHeadAttention" in kinds
    assert "Attention" not in kinds
    for text in TEXTS:
        assert after.scores([(text,)]) == pytest.approx(before.scores([(text,)]), abs=1e-5 if form == "onnx" else 0.1)


def test_how_texts_are_grouped_makes_no_difference(exported):
    folder = exported("onnx-int8")
    assert lone_texts.keep(folder)
    graph = Graph(folder)
    rows = [(text,) for text in TEXTS]
    assert np.array_equal(graph.scores(rows), np.concatenate([graph.scores([row]) for row in rows]))


def test_on_a_gpu_texts_are_masked(exported, monkeypatch):
    folder = exported("onnx")
    assert lone_texts.keep(folder)
    loaded = []
    monkeypatch.setattr(
        "dlops.ml.onnx_graph._session",
        lambda graph, threads: loaded.append(graph) or onnxruntime.InferenceSession(graph),
    )
    Graph(folder)
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    Graph(folder)
    assert [graph.name for graph in loaded] == [LONE, GRAPH]


@pytest.mark.parametrize(
    "change",
    [{"truncation": None}, {"truncation": {"max_length": 100_000}}, {"padding": {"pad_to_multiple_of": 8}}],
)
def test_texts_without_a_bound_and_padded_ones_have_none(exported, change):
    folder = exported("onnx")
    told = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**told, **change}))
    assert not lone_texts.keep(folder)
    assert not (folder / LONE).exists()


@pytest.mark.parametrize("failing", [lambda *_: False, lambda *_: 1 / 0])
def test_one_that_answers_otherwise_is_not_kept(exported, monkeypatch, failing):
    folder = exported("onnx")
    monkeypatch.setattr(lone_texts, "_same", failing)
    assert not lone_texts.keep(folder)
    assert not (folder / LONE).exists()


def test_what_answers_otherwise_is_found(exported, monkeypatch):
    folder = exported("onnx")

    def scaled(model, longest):
        found = lone_of(model, longest)
        for node in found.graph.node:
            for one in node.attribute:
                if node.op_type == "MultiHeadAttention" and one.name == "scale":
                    one.f *= 3
        return found

    lone_of = lone_texts.of
    monkeypatch.setattr(lone_texts, "of", scaled)
    assert not lone_texts.keep(folder)


def test_an_export_that_is_served_has_one_and_an_older_engine_is_made_again(run, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    model = Served("it", onnx_export.log(logged(tiny_model), "onnx"))
    making.make(model, "auto", 0.9)
    found = store.chosen(store.root(model), "auto", 0.9)
    assert (found.folder / MODEL / LONE).is_file()
    rows, expected = found.recorded()
    assert engine.load(found.folder, threads=1).answers(rows) == expected
    told = json.loads((found.folder / DESCRIPTION).read_text())
    (found.folder / DESCRIPTION).write_text(json.dumps({name: one for name, one in told.items() if name != "format"}))
    (found.folder / MODEL / LONE).unlink()
    assert store.chosen(store.root(model), "auto", 0.9) is None
    making.make(model, "auto", 0.9)
    again = store.chosen(store.root(model), "auto", 0.9)
    assert again.told == found.told
    assert (again.folder / MODEL / LONE).is_file()


def test_an_engine_of_any_format_can_be_loaded(tmp_path):
    Description("onnx", "graph", COLUMNS[:1], "models:/m-0", format=1).write(tmp_path)
    assert not store.is_whole(tmp_path)
    assert engine.described(tmp_path).format == 1
