"""The judgement: one subject per file, pure functions from facts and policy to a verdict."""
