"""The stages of the pipeline. Each makes idempotent calls and ends with one transition."""
