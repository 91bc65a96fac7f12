"""The offline demo: word problems with a planted gap, and a rule-based teacher in place of large models."""
