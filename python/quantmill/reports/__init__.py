"""The pages of a run: one self-contained HTML file, made from the published snapshot alone."""
