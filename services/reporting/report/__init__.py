"""Figures: one query model, answered from the fact tables by the definitions of `domain.metrics`."""
