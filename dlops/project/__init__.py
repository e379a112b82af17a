"""From a project folder to a launched run: source, contract, plan, preflight, launch."""
