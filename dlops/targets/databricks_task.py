"""The task that Databricks runs: it starts the worker that lies beside it as a process, and ends as that ends.

It is sent as it is and imports nothing of ours. A task shares its process with Spark's; the worker needs its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys


def main(folder: str, key: str, secrets: str) -> None:
    """Run the worker in `folder`; `secrets` maps names of variables to `SCOPE/KEY`, as JSON.

    Raises:
        RuntimeError: the job did not end well; Databricks calls the task failed then.
    """
    read = _secrets(json.loads(secrets))
    environment = {**os.environ, **_credentials(), **read}
    environment.update(DLOPS_JOB_KEY=key, DLOPS_PARENT="stdin", DLOPS_SECRETS=json.dumps(list(read.values())))
    worker = subprocess.Popen(
        [sys.executable, os.path.join(folder, "worker.pyz")],  # noqa: PTH118 - this file stands alone
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,  # it ends when this process does
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert worker.stdout is not None
    try:
        for line in worker.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
        code = worker.wait()
    except BaseException:
        worker.terminate()
        worker.wait()
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise RuntimeError(f"the job's worker ended with status {code}; its output is above")


def _credentials() -> dict[str, str]:
    """Give a process of its own what this one is let into the workspace by."""
    if "DATABRICKS_TOKEN" in os.environ or "DATABRICKS_CLIENT_ID" in os.environ:
        return {}
    try:
        from mlflow.utils.databricks_utils import get_databricks_host_creds

        found = get_databricks_host_creds("databricks")
        return {"DATABRICKS_HOST": found.host, "DATABRICKS_TOKEN": found.token} if found.token else {}
    except Exception:  # no workspace is asked for then
        return {}


def _secrets(places: dict[str, str]) -> dict[str, str]:
    """Read secrets where they are kept."""
    if not places:
        return {}
    from databricks.sdk.runtime import dbutils

    found = {}
    for name, place in places.items():
        scope, _, key = place.partition("/")
        found[name] = dbutils.secrets.get(scope=scope, key=key)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:4])
