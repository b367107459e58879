"""Guests: how a kernel is booted, watched and ended."""
