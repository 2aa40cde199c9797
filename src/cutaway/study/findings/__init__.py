"""Findings: what the trials of a study say, and how sure it is."""
