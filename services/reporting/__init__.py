"""Reporting: read models of every stream, their figures, and the live page that shows them."""
