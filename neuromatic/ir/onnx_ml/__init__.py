"""The operators of ai.onnx.ml, which scikit-learn's models are exported with, by ONNX' own operators.

Each has one form, a few nodes: engines lower those, so that what trains has its gradient, and the weights
that are attributes of linear models become initializers (:mod:`neuromatic.transfer.linear_models`). The
forms give what onnxruntime gives, where the standard leaves it open or says something else. Operators on maps
(ZipMap, DictVectorizer, CastMap), trees and support vectors have none.
"""

from neuromatic.ir.onnx_ml import encoding, linear, scaling
from neuromatic.ir.onnx_ml._forms import FORMS, NoFormError
from neuromatic.ir.onnx_ml.nodes import DOMAIN, function

__all__ = ["DOMAIN", "FORMS", "NoFormError", "encoding", "function", "linear", "scaling"]
