"""Memos and audits."""
