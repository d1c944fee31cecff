"""The registry of CNTK lowerings; the modules beside this one fill it, one per operator family."""

from __future__ import annotations

from onnx import ModelProto

from neuromatic.converters.registry import Registry


class CNTKRegistry(Registry):
    """Lowerings, and what onnxruntime computes in their place."""

    def elsewhere(self, model: ModelProto) -> frozenset[str]:
        """The values that depend on data and constants only."""
        from neuromatic.converters.cntk import prefix  # which is made of lowerings

        return prefix.hosted_values(model)


ops = CNTKRegistry("cntk")
