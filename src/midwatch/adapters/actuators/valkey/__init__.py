"""Valkey or Redis."""
