"""Metrics, contact sheets and cards."""
