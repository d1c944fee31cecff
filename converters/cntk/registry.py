"""The registry of CNTK lowerings; the modules beside this one fill it, one per operator family."""

from __future__ import annotations

from neuromatic.converters.registry import Registry

ops = Registry("cntk")
