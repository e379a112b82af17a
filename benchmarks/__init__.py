"""Speed, measured as a user meets it: whole commands, interleaved, medians and ratios."""
