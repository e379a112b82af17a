"""The graph of a text that is answered alone: nothing pads it, so attention needs no mask, and is computed faster.

onnxruntime has a quicker attention for processors, which takes no mask.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from dlops.ml.onnx_graph import DESCRIPTION, GRAPH, LONE, TOKENIZER
from dlops.ml.progress import say

if TYPE_CHECKING:
    import onnx

Tensors: TypeAlias = dict[str, np.ndarray[Any, Any]]

_MASK = "attention_mask"
_DOMAIN = "com.microsoft"
_APART = [0, 2, 1, 3]
"""Of a transposition that brings heads before tokens, or back."""
_PLAIN: dict[str, tuple[Any, ...]] = {"is_causal": (0,), "softcap": (0.0,), "qk_matmul_output_mode": (0,)}
"""Attributes of attention that the other operation lacks, and what they are where that makes no difference."""
_LENGTHS = (1, 2, 7, 33)
"""Tokens of the texts that the two graphs are compared on, beside as many as there may be."""
_LONGEST = 4096
"""Tokens: the mask of more takes gigabytes to look at."""
_EXACT, _NEAR = 1e-4, 0.2
"""How far answers may be off in float32, and in int8, where what is a rounding error at first is a step later."""
_SEED = 0


def keep(folder: Path) -> bool:
    """Write the graph for lone texts beside the graph of a folder (`onnx_graph.Graph`); say whether there is one.

    Raises:
        OSError, ValueError, KeyError: the folder holds no graph.
    """
    import onnx

    graph, told = folder / GRAPH, json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    longest = (told["truncation"] or {}).get("max_length", 0)
    padded = {"length", "pad_to_multiple_of"} & {name for name, given in told["padding"].items() if given}
    if not 0 < longest <= _LONGEST or padded or graph.with_name(f"{GRAPH}.data").exists():
        return False
    lone = folder / LONE
    try:
        masked = onnx.load(graph)
        found = of(masked, longest)
        if found is not None:
            onnx.save(found, lone)
            if _same(masked, folder, told["inputs"], longest):
                return True
    except Exception as error:  # whatever a runtime raises at a graph that it does not know: it answers with its mask
        say(f"A text alone is answered as texts together are: {type(error).__name__}: {error}")
    lone.unlink(missing_ok=True)
    return False


def of(model: onnx.ModelProto, longest: int) -> onnx.ModelProto | None:
    """Give the graph that answers one text of up to `longest` tokens as this one does, but attends without a mask.

    `None` where it has no attention, or some that is masked by more than padding, or is not of the kind that
    onnxruntime computes at once.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    wires = _Wires(copy.graph)
    read = [wires.attention(node) for node in copy.graph.node if node.op_type == "Attention"]
    found = [one for one in read if one]
    if not found or len(found) < len(read) or any(_has_graphs(node) for node in copy.graph.node):
        return None
    masks = {one.mask for one in found if one.mask}
    if not all(_is_padding(copy, wires, mask, longest) for mask in masks):
        return None
    heads = _heads(copy, found, longest)
    if heads is None:
        return None
    replaced = {one.last.output[0]: _multi_head(one, number) for one, number in zip(found, heads, strict=True)}
    nodes = [replaced.get(node.output[0], node) for node in copy.graph.node]
    _keep(copy.graph, _needed(nodes, [one.name for one in copy.graph.output]))
    if not any(one.domain == _DOMAIN for one in copy.opset_import):
        copy.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    return copy


@dataclass(frozen=True)
class _Attention:
    """Attention, and what brings its heads apart and together again."""

    node: onnx.NodeProto
    last: onnx.NodeProto
    """Gives [rows, tokens, width]."""
    whole: list[str]
    """Query, key and value as [rows, tokens, width]."""
    mask: str


class _Wires:
    """What makes a tensor of a graph, and what takes it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.inputs = [one.name for one in graph.input]
        self._outputs = {one.name for one in graph.output}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)

    def attention(self, node: onnx.NodeProto) -> _Attention | None:
        """Read what is around attention; `None` where it is anything but heads that are brought apart, and back."""
        given = {one.name: _value(one) for one in node.attribute}
        plain = all(given.get(name, values[0]) in values for name, values in _PLAIN.items())
        parted = [self._alone_after(name) for name in node.input[:3]]
        joined = self._taker(node.output[0], "Transpose")
        last = joined and self._taker(joined.output[0], "Reshape")
        if node.domain or not plain or given.keys() - {*_PLAIN, "scale"} or any(node.input[4:]) or any(node.output[1:]):
            return None
        if None in parted or not joined or not last or not _parts(joined):
            return None
        whole = [name for name in parted if name]
        return _Attention(node, last, whole, node.input[3] if len(node.input) > 3 else "")

    def before(self, name: str) -> list[onnx.NodeProto]:
        """List, in no order, all that a tensor is made of."""
        found: dict[str, onnx.NodeProto] = {}
        left = [name]
        while left:
            node = self.makers.get(left.pop())
            if node is not None and node.output[0] not in found:
                found[node.output[0]] = node
                left += node.input
        return list(found.values())

    def _alone_after(self, name: str) -> str | None:
        """Give the tensor whose heads are brought apart."""
        parted = self.makers.get(name)
        shaped = self.makers.get(parted.input[0]) if parted is not None and _parts(parted) else None
        return str(shaped.input[0]) if shaped is not None and shaped.op_type == "Reshape" else None

    def _taker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Give what takes a tensor, if nothing else does."""
        takers = self._takers.get(name, [])
        return takers[0] if len(takers) == 1 and takers[0].op_type == kind and name not in self._outputs else None


def _value(attribute: onnx.AttributeProto) -> Any:
    import onnx

    return onnx.helper.get_attribute_value(attribute)


def _has_graphs(node: onnx.NodeProto) -> bool:
    """Say whether graphs are inside, which read tensors that are not among the inputs."""
    return any(one.HasField("g") or one.graphs for one in node.attribute)


def _parts(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and [list(_value(one)) for one in node.attribute] == [_APART]


def _heads(model: onnx.ModelProto, found: list[_Attention], longest: int) -> list[int] | None:
    """Count the heads of each, as they are when a text is computed; `None` where they are not all of one kind."""
    names = dict.fromkeys(
        name for one in found for name in (*one.node.input[:3], *one.whole, one.node.output[0], one.last.output[0])
    )
    computed = [_computed(model, list(names), min(length, longest)) for length in (2, 5)]
    made = [{name: tensor.shape for name, tensor in one.items()} for one in computed]
    heads = []
    for one in found:
        count = made[0][one.node.input[0]][1]
        pairs = [*zip(one.node.input[:3], one.whole, strict=True), (one.node.output[0], one.last.output[0])]
        for shapes in made:
            for apart, together in pairs:
                rows, number, tokens, width = shapes[apart]
                if number != count or shapes[together] != (rows, tokens, number * width):
                    return None
        heads.append(count)
    return heads


def _is_padding(model: onnx.ModelProto, wires: _Wires, mask: str, longest: int) -> bool:
    """Say whether a mask is of the tokenizer's alone, and lets a text that nothing pads see all of itself."""
    before = wires.before(mask)
    # What a text says must not count: some models find padding by the number of its token, which a text may have, too.
    read = {name for node in before if node.op_type != "Shape" for name in node.input} | {mask}
    if read & set(wires.inputs) - {_MASK}:
        return False
    for length in {1, min(2, longest), longest}:
        seen = _computed(model, [mask], length)[mask]
        if seen.dtype != np.bool_ or not seen.all():
            return False
    return True


def _computed(model: onnx.ModelProto, names: list[str], length: int) -> Tensors:
    """Compute tensors inside a graph, of one text of so many tokens."""
    import onnx

    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    _keep(part.graph, _needed(part.graph.node, names))
    session = _session(part.SerializeToString())
    found = session.run(names, _fed([one.name for one in part.graph.input], length))
    return dict(zip(names, found, strict=True))


def _fed(names: Iterable[str], length: int, ids: np.ndarray[Any, Any] | None = None) -> Tensors:
    """Give what a text of so many tokens is to a graph."""
    found = {name: np.zeros((1, length), np.int64) for name in names}
    found |= {name: np.ones((1, length), np.int64) for name in found if name == _MASK}
    return found | {name: ids for name in found if name == "input_ids" and ids is not None}


def _session(graph: bytes | Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that a part of a graph has inputs which it does not use needs no warning
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _multi_head(found: _Attention, heads: int) -> onnx.NodeProto:
    import onnx

    scale = {one.name: _value(one) for one in found.node.attribute if one.name == "scale"}
    return onnx.helper.make_node(
        "MultiHeadAttention",
        found.whole,
        [found.last.output[0]],
        name=found.node.name,
        domain=_DOMAIN,
        num_heads=heads,
        **scale,
    )


def _needed(nodes: Iterable[onnx.NodeProto], wanted: Iterable[str]) -> list[onnx.NodeProto]:
    """Leave out the nodes that nothing wanted is made of, in their order."""
    names = set(wanted)
    needed = []
    for node in reversed(list(nodes)):
        if names & set(node.output):
            names |= {name for name in node.input if name}
            needed.append(node)
    return needed[::-1]


def _keep(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Leave nothing in a graph but these nodes, what they need, and all of its inputs."""
    import onnx

    read = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
    made = {name for node in nodes for name in node.output}
    found = onnx.GraphProto(name=graph.name, input=graph.input, output=graph.output, node=nodes)
    found.initializer.extend(one for one in graph.initializer if one.name in read)
    found.sparse_initializer.extend(one for one in graph.sparse_initializer if one.values.name in read)
    found.value_info.extend(one for one in graph.value_info if one.name in made)
    graph.CopyFrom(found)


def _same(model: onnx.ModelProto, folder: Path, inputs: Sequence[str], longest: int) -> bool:
    """Say whether both graphs of a folder give about the same answers."""
    words = Tokenizer.from_file(str(folder / TOKENIZER)).get_vocab_size()
    most = _NEAR if any(node.op_type == "MatMulInteger" for node in model.graph.node) else _EXACT
    masked, lone = _session(folder / GRAPH), _session(folder / LONE)
    drawn = np.random.default_rng(_SEED)
    for length in sorted({min(length, longest) for length in (*_LENGTHS, longest)}):
        fed = _fed(inputs, length, drawn.integers(words, size=(1, length)))
        one, other = masked.run(None, fed)[0], lone.run(None, fed)[0]
        if not np.all(np.abs(one - other) <= most * np.maximum(1, np.abs(one))):  # what is no number is not the same
            return False
    return True
