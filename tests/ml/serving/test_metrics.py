"""What several servers tell Prometheus is told as one, each server named."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from dlops.ml.serving.metrics import Metrics, merged


def test_servers_tell_their_metrics_together():
    one, other = Metrics(), Metrics()
    one.request("/predict", 200, 0.01)
    one.request("/predict", 200, 0.02)
    other.request("/predict", 503, 0.01)
    other.answered("2", 5)
    families = list(text_string_to_metric_families(merged({"a": one.text(), "b": other.text()}).decode()))
    assert len({family.name for family in families}) == len(families)
    samples = {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}
    asked = ("endpoint", "/predict")
    assert samples["dlops_requests_total", asked, ("replica", "a"), ("status", "200")] == 2
    assert samples["dlops_requests_total", asked, ("replica", "b"), ("status", "503")] == 1
    assert samples["dlops_request_seconds_count", asked, ("replica", "a")] == 2
    assert samples["dlops_rows_total", ("replica", "b"), ("version", "2")] == 5
    buckets = [value for key, value in samples.items() if key[0] == "dlops_request_seconds_bucket" and "a" in key[-1]]
    assert buckets == sorted(buckets)
