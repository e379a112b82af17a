"""The page to try a model on: type a text, see label, scores, the words behind them, and which version answered."""

from __future__ import annotations

import json
from pathlib import Path


def page(nonce: str, *, pairs: bool, explains: bool, needs_token: bool) -> str:
    """Give the page; its script runs by this nonce, and asks this server alone."""
    told = json.dumps({"pairs": pairs, "explains": explains, "needsToken": needs_token})
    whole = Path(__file__).with_name("demo.html").read_text(encoding="utf-8")
    return whole.replace("{{nonce}}", nonce).replace("{{told}}", told)


def headers(nonce: str) -> dict[str, str]:
    """Say what the page may do."""
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
