"""MLprojects written for stock MLflow, long before this tool: they run unchanged, and do what they did there."""

from __future__ import annotations

import subprocess
import sys

import pytest

WINE = {
    "MLproject": """
        name: tutorial

        conda_env: conda.yaml

        entry_points:
          main:
            parameters:
              alpha: float
              l1_ratio: {type: float, default: 0.1}
              rows: {type: double, default: 5}
            command: "python train.py {alpha} {l1_ratio} {rows}"
        """,
    "conda.yaml": "name: tutorial\ndependencies: [python=3.6, scikit-learn=0.19.1, {pip: [mlflow]}]\n",
    "train.py": """
        import sys
        alpha, l1_ratio = float(sys.argv[1]), float(sys.argv[2])
        print("trained", alpha, l1_ratio, int(sys.argv[3]))
        """,
}
STEPS = {
    "MLproject": """
        name: multistep_example
        entry_points:
          load_raw_data:
            command: "python load.py"
          train:
            parameters:
              ratings: {type: path}
              max_iter: {type: int, default: 10}
              reg_param: {type: float, default: 0.1}
              title: {type: string, default: "a 'quoted' title; with $HOME"}
            command: >-
              python train.py --ratings {ratings} --max-iter {max_iter} --reg-param {reg_param} --title {title}
        """,
    "load.py": "print('loaded')\n",
    "train.py": """
        import argparse
        parser = argparse.ArgumentParser()
        for name in ("--ratings", "--max-iter", "--reg-param", "--title"):
            parser.add_argument(name)
        print("trained", sorted(vars(parser.parse_args()).items()))
        """,
    "ratings.csv": "1,2,3\n",
}
SHELL = {
    "MLproject": """
        entry_points:
          main:
            parameters:
              data: {type: path, default: data.txt}
              word: {default: "it's"}
            command: |
              test -d "${HOME}" && echo "at home: ${HOME:+yes}" && awk '{{print $2}}' {data} && echo {word} "$(pwd)"
              for i in 1 2; do echo "{{$i}}"; done
        """,
    "data.txt": "first second\nthird fourth\n",
}
BOOK = {
    "MLproject": """
        name: dl_model_chapter04
        entry_points:
          download_data:
            parameters:
              download_url: {type: string, default: "https://example.org/imdb.zip"}
              local_folder: {type: string, default: ./data}
            command: "python pipeline/download_data.py --download_url={download_url} --local_folder={local_folder}"
          fine_tuning_model:
            parameters:
              foundation_model: {type: string, default: "prajjwal1/bert-tiny"}
              fine_tuning_strategy: {type: string, default: freeze}
            command: "python pipeline/fine.py --foundation_model {foundation_model} --strategy {fine_tuning_strategy}"
        """,
    "pipeline/download_data.py": "import sys; print('download', sys.argv[1:])\n",
    "pipeline/fine.py": """
        import os, sys
        import mlflow
        with mlflow.start_run() as run:
            mlflow.log_param("foundation_model", sys.argv[2])
            mlflow.log_metric("accuracy", 0.5)
        print("same run", run.info.run_id == os.environ["DLOPS_ATTEMPT"] if "DLOPS_ATTEMPT" in os.environ else True)
        print("fine", sys.argv[1:])
        """,
}


def test_the_tutorial_of_mlflow(shell, project):
    project(**WINE)
    done = shell.run("finetune", "-e", "main", "--alpha", "0.5")
    assert "trained 0.5 0.1 5" in done.stderr
    error = shell.json("finetune", "-e", "main", exit_code=2)["error"]
    assert "'alpha' needs a value" in error["message"]


def test_paths_quotes_and_several_steps(shell, project):
    folder = project(folder=shell.folder / "project", **STEPS)
    assert "loaded" in shell.run("ingest", "--uri", folder, "-e", "load_raw_data").stderr
    (shell.folder / "mine.csv").write_text("4,5,6\n")
    done = shell.run("finetune", "--uri", folder, "-e", "train", "ratings=mine.csv", "--reg-param=1e-3")
    assert f"('ratings', '{shell.folder}/mine.csv')" in done.stderr
    assert "('reg_param', '0.001')" in done.stderr
    assert """('title', "a 'quoted' title; with $HOME")""" in done.stderr
    error = shell.json("finetune", "--uri", folder, "-e", "train", "ratings=gone.csv", exit_code=2)["error"]
    assert "gone.csv" in error["message"]


def test_the_shell_stays_the_shell(shell, project):
    project(**SHELL)
    lines = shell.run("ingest", "-e", "main").stderr.splitlines()
    assert lines[1:] == ["at home: yes", "second", "fourth", f"it's {shell.folder}", "{1}", "{2}"]


def test_entry_points_of_other_names_are_named_or_mapped(shell, project):
    project(**BOOK)
    document = shell.json("finetune", "-e", "fine_tuning_model")
    assert (document["step"], document["entry_point"]) == ("finetune", "fine_tuning_model")
    assert document["metrics"] == {"accuracy": 0.5}
    error = shell.json("finetune", exit_code=2)["error"]
    assert "fine_tuning_model" in error["hint"]
    project(**{"configs/dlops.yaml": "entry_points: {finetune: fine_tuning_model, ingest: download_data}\n"})
    done = shell.run("finetune", "fine_tuning_strategy=no_freeze")
    assert "same run True" in done.stderr
    assert "['--foundation_model', 'prajjwal1/bert-tiny', '--strategy', 'no_freeze']" in done.stderr
    assert "download" in shell.run("ingest").stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "entry_point", "values"),
    [(WINE, "main", {"alpha": "0.5"}), (STEPS, "train", {"ratings": "ratings.csv"}), (BOOK, "fine_tuning_model", {})],
)
def test_they_print_what_they_print_under_stock_mlflow(shell, project, files, entry_point, values):
    project(**files)
    ours = shell.run("finetune", "-e", entry_point, *(f"{name}={value}" for name, value in values.items()))
    given = [word for name, value in values.items() for word in ("-P", f"{name}={value}")]
    theirs = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ".", "-e", entry_point, "--env-manager", "local", *given],
        cwd=shell.folder,
        env=shell.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = [line for line in theirs.stdout.splitlines() if line.startswith(("trained", "fine", "same"))]
    assert printed
    assert printed == [line for line in ours.stderr.splitlines() if line.startswith(("trained", "fine", "same"))]
