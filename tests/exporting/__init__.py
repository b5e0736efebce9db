"""Tests of facelime_cli.exporting."""
