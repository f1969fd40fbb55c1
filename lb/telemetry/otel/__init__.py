"""Traces and metrics for OpenTelemetry: gathered on the event loop in plain values, sent from a thread."""
