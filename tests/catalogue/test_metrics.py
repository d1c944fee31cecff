"""Every metric of Keras in onnxruntime over batches of several sizes, against the Keras object itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

import neuromatic as nm
from neuromatic import metrics
from tests.catalogue.metrics import (
    Array,
    assert_equal,
    ours,
    pairs,
    quick,
    squared,
    theirs,
)
from tests.catalogue.status import equal

Data = st.DataObject
OF_NUMBERS = ["MeanSquaredError", "MeanAbsoluteError", "RootMeanSquaredError", "LogCoshError"]
OF_POSITIVES = ["MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Poisson"]
threshold = st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 1.0])
thresholds = st.one_of(
    st.none(),
    threshold,
    st.lists(threshold, min_size=2, max_size=4, unique=True).map(sorted),
    st.sampled_from([[0.0, 0.5, 1.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]),
)
scores = st.sampled_from(["step", "probability", "number"])


# -- numbers -------------------------------------------------------------------------------------------


@equal("metrics", *OF_NUMBERS)
@pytest.mark.parametrize("name", OF_NUMBERS)
@quick
@given(data=st.data())
def test_errors_of_numbers(name: str, data: Data) -> None:
    assert_equal(name, data.draw(pairs("number", "number")))


@equal("metrics", *OF_POSITIVES)
@pytest.mark.parametrize("name", OF_POSITIVES)
@quick
@given(data=st.data())
def test_errors_of_positive_numbers(name: str, data: Data) -> None:
    assert_equal(name, data.draw(pairs("positive", "positive")))


@equal("metrics", "CosineSimilarity", "PearsonCorrelation", "ConcordanceCorrelation")
@pytest.mark.parametrize("name", ["CosineSimilarity", "PearsonCorrelation", "ConcordanceCorrelation"])
@quick
@given(data=st.data())
def test_correlations(name: str, data: Data) -> None:
    batches = data.draw(pairs("number", "number", (3, 4)))
    assert_equal(name, batches, axis=data.draw(st.sampled_from([-1, 1, 2, -2])), tolerance=5e-5)


@pytest.mark.parametrize("name", ["PearsonCorrelation", "ConcordanceCorrelation"])
def test_correlation_within_each_batch(name: str) -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(2, n, 3)).astype(np.float32) for n in (4, 9)]
    assert_equal(name, [(t, p) for t, p in parts], axis=0)


VARIED = [(np.eye(4, 3, dtype=np.float32), np.full((4, 3), 0.5, np.float32))]


@equal("metrics", "R2Score")
@quick
@given(data=st.data())
def test_r2_score(data: Data) -> None:
    assert_equal(
        "R2Score",
        [*data.draw(pairs("number", "number", (3,))), *VARIED],
        data.draw(st.sampled_from(["uniform_average", "variance_weighted_average", None])),
        data.draw(st.integers(0, 2)),
        tolerance=1e-4,
    )


@pytest.mark.parametrize("value", [0.5, 0.1])
def test_r2_score_of_constant_targets_is_zero(value: float) -> None:
    t, p = np.full((3, 2), value, np.float32), np.ones((3, 2), np.float32)
    assert ours(metrics.R2Score(), [(t, p)] * 3) == 0.0


@pytest.mark.filterwarnings("ignore:.*djusted R2 score.*:UserWarning")
@pytest.mark.parametrize("regressors", [5, 6])
def test_r2_score_is_not_adjusted_for_too_many_regressors(regressors: int) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(2, 3, 2)).astype(np.float32)
    assert_equal("R2Score", [(y[0], y[1])], num_regressors=regressors)


@equal("metrics", "Mean", "Sum")
@pytest.mark.parametrize("name", ["Mean", "Sum"])
@quick
@given(batches=pairs("number", "number"))
def test_mean_and_sum_of_predictions(name: str, batches: list[tuple[Array, Array]]) -> None:
    twin = getattr(keras.metrics, name)()
    for _, p in batches:
        twin.update_state(p)
    found = ours(getattr(metrics, name)(), batches)
    np.testing.assert_allclose(found, float(twin.result()), rtol=1e-5, atol=1e-5)


@equal("metrics", "MeanMetricWrapper")
@quick
@given(batches=pairs("number", "number"))
def test_mean_of_a_function(batches: list[tuple[Array, Array]]) -> None:
    twin = keras.metrics.MeanMetricWrapper(lambda t, p: p * p)
    found = ours(metrics.get(squared), batches)
    np.testing.assert_allclose(found, theirs(twin, batches), rtol=1e-5)
    assert metrics.get(squared).name == "squared"


@quick
@given(batches=pairs("number", "number"))
def test_mean_of_a_loss(batches: list[tuple[Array, Array]]) -> None:
    twin = keras.metrics.MeanMetricWrapper(keras.losses.huber, delta=0.5)
    metric = metrics.get(nm.losses.Huber(0.5), name="within")
    np.testing.assert_allclose(ours(metric, batches), theirs(twin, batches), rtol=1e-5)
    assert metric.name == "within"


# -- probabilities -------------------------------------------------------------------------------------


@equal("metrics", "BinaryCrossentropy")
@quick
@given(data=st.data())
def test_binary_crossentropy(data: Data) -> None:
    logits = data.draw(st.booleans())
    batches = data.draw(pairs("label", "number" if logits else "probability"))
    smoothing = data.draw(st.sampled_from([0.0, 0.1]))
    assert_equal("BinaryCrossentropy", batches, from_logits=logits, label_smoothing=smoothing)


@equal("metrics", "CategoricalCrossentropy")
@quick
@given(data=st.data())
def test_categorical_crossentropy(data: Data) -> None:
    logits = data.draw(st.booleans())
    batches = data.draw(pairs("hot", "number" if logits else "softmax"))
    smoothing = data.draw(st.sampled_from([0.0, 0.1]))
    assert_equal("CategoricalCrossentropy", batches, from_logits=logits, label_smoothing=smoothing)


@equal("metrics", "SparseCategoricalCrossentropy")
@quick
@given(data=st.data())
def test_sparse_categorical_crossentropy(data: Data) -> None:
    logits = data.draw(st.booleans())
    batches = data.draw(pairs("class", "number" if logits else "softmax"))
    ignored = data.draw(st.sampled_from([None, 0, 1]))
    assert_equal("SparseCategoricalCrossentropy", batches, from_logits=logits, ignore_class=ignored)


@equal("metrics", "KLDivergence")
@quick
@given(batches=pairs("softmax", "softmax"))
def test_kl_divergence(batches: list[tuple[Array, Array]]) -> None:
    assert_equal("KLDivergence", batches)


@equal("metrics", "Hinge", "SquaredHinge")
@pytest.mark.parametrize("name", ["Hinge", "SquaredHinge"])
@quick
@given(data=st.data())
def test_hinges(name: str, data: Data) -> None:
    assert_equal(name, data.draw(pairs(data.draw(st.sampled_from(["sign", "label"])), "number")))


@equal("metrics", "CategoricalHinge")
@quick
@given(batches=pairs("hot", "number"))
def test_categorical_hinge(batches: list[tuple[Array, Array]]) -> None:
    assert_equal("CategoricalHinge", batches)


# -- accuracies ----------------------------------------------------------------------------------------


@equal("metrics", "Accuracy")
@quick
@given(batches=pairs("digit", "digit"))
def test_accuracy_is_equality(batches: list[tuple[Array, Array]]) -> None:
    assert_equal("Accuracy", batches)


@equal("metrics", "BinaryAccuracy")
@quick
@given(data=st.data())
def test_binary_accuracy(data: Data) -> None:
    batches = data.draw(pairs("label", data.draw(scores)))
    assert_equal("BinaryAccuracy", batches, threshold=data.draw(threshold))


@equal("metrics", "CategoricalAccuracy", "SparseCategoricalAccuracy")
@quick
@given(data=st.data())
def test_categorical_accuracies(data: Data) -> None:
    score = data.draw(scores)
    assert_equal("CategoricalAccuracy", data.draw(pairs("hot", score)))
    assert_equal("SparseCategoricalAccuracy", data.draw(pairs("class", score)))


@equal("metrics", "TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy")
@quick
@given(data=st.data())
def test_top_k_accuracies(data: Data) -> None:
    score, k = data.draw(scores), data.draw(st.integers(1, 6))
    assert_equal("TopKCategoricalAccuracy", data.draw(pairs("hot", score)), k=k)
    assert_equal("SparseTopKCategoricalAccuracy", data.draw(pairs("class", score)), k=k)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_top_k_of_sorted_ids(k: int) -> None:
    rng = np.random.default_rng(k)
    ids = np.stack([rng.permutation(5) for _ in range(11)]).astype(np.float32)
    batches = [(rng.integers(5, size=11), ids)]
    assert_equal("SparseTopKCategoricalAccuracy", batches, k=k, from_sorted_ids=True)


# -- counts --------------------------------------------------------------------------------------------

COUNTS = ["TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives"]
BEST = ["SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision"]


@equal("metrics", *COUNTS)
@pytest.mark.parametrize("name", COUNTS)
@quick
@given(data=st.data())
def test_counts(name: str, data: Data) -> None:
    assert_equal(name, data.draw(pairs("label", data.draw(scores))), data.draw(thresholds))


@equal("metrics", "Precision", "Recall")
@pytest.mark.parametrize("name", ["Precision", "Recall"])
@quick
@given(data=st.data())
def test_precision_and_recall(name: str, data: Data) -> None:
    shape = data.draw(st.sampled_from([(4,), (2, 4)]))
    assert_equal(
        name,
        data.draw(pairs("label", data.draw(scores), shape)),
        data.draw(thresholds),
        data.draw(st.one_of(st.none(), st.integers(1, 4))),
        data.draw(st.one_of(st.none(), st.integers(0, 3))),
    )


@quick
@given(data=st.data())
def test_specificity(data: Data) -> None:
    batches = data.draw(pairs("label", "step"))
    t, p = (np.concatenate([b[i].ravel() for b in batches]) for i in (0, 1))
    expected = sklearn.metrics.recall_score(t, p > 0.5, pos_label=0, zero_division=0)
    assert ours(metrics.Specificity(), batches) == pytest.approx(expected)


@equal("metrics", *BEST)
@pytest.mark.parametrize("name", BEST)
@quick
@given(data=st.data())
def test_one_rate_where_another_is_high(name: str, data: Data) -> None:
    batches = data.draw(pairs("label", data.draw(scores), (4,)))
    count = data.draw(st.sampled_from([1, 2, 3, 11, 200]))
    class_id = data.draw(st.one_of(st.none(), st.integers(0, 3)))
    assert_equal(name, batches, data.draw(threshold), num_thresholds=count, class_id=class_id)


@equal("metrics", "AUC")
@quick
@given(data=st.data())
def test_auc(data: Data) -> None:
    options: dict[str, Any] = {
        "num_thresholds": data.draw(st.sampled_from([2, 3, 11, 200])),
        "curve": data.draw(st.sampled_from(["ROC", "PR", "PRGAIN", "roc", "pr"])),
        "summation_method": data.draw(st.sampled_from(["interpolation", "minoring", "majoring"])),
        "thresholds": data.draw(st.sampled_from([None, None, [0.5], [0.8, 0.1, 0.3], [0.25, 0.5, 0.75]])),
        "multi_label": data.draw(st.booleans()),
        "label_weights": data.draw(st.sampled_from([None, [1.0, 0.5, 2.0]])),
        "from_logits": data.draw(st.booleans()),
    }
    if options["multi_label"]:
        options["num_labels"] = data.draw(st.sampled_from([None, 3]))
    score = "number" if options["from_logits"] else data.draw(scores)
    assert_equal("AUC", data.draw(pairs("label", score, (3,))), tolerance=2e-5, **options)


AVERAGES = st.sampled_from([None, "micro", "macro", "weighted"])


@equal("metrics", "FBetaScore", "F1Score")
@quick
@given(data=st.data())
def test_f_scores(data: Data) -> None:
    batches = data.draw(pairs("label", data.draw(scores), (4,)))
    average, above = data.draw(AVERAGES), data.draw(st.sampled_from([None, 0.2, 0.5, 1.0]))
    assert_equal("F1Score", batches, average, above)
    assert_equal("FBetaScore", batches, average, data.draw(st.sampled_from([0.5, 1.0, 2.0])), above)


# -- confusion matrices --------------------------------------------------------------------------------


@equal("metrics", "IoU", "MeanIoU")
@quick
@given(data=st.data())
def test_iou_of_indices(data: Data) -> None:
    batches = data.draw(pairs("digit", "digit"))
    ids = data.draw(st.lists(st.integers(0, 3), min_size=1, unique=True))
    ignored = data.draw(st.sampled_from([None, -1, 0, 2]))
    assert_equal("IoU", batches, 4, ids, ignore_class=ignored)
    assert_equal("MeanIoU", batches, 4, ignore_class=ignored)


@quick
@given(data=st.data())
def test_iou_of_scores(data: Data) -> None:
    batches = data.draw(pairs("class", "step"))
    size = batches[0][1].shape[-1]
    assert_equal("MeanIoU", batches, size, sparse_y_pred=False)


@equal("metrics", "OneHotIoU", "OneHotMeanIoU")
@quick
@given(data=st.data())
def test_iou_of_one_hot_targets(data: Data) -> None:
    batches = data.draw(pairs("hot", "step"))
    size = batches[0][1].shape[-1]
    assert_equal("OneHotIoU", batches, size, [0, size - 1])
    assert_equal("OneHotMeanIoU", batches, size, ignore_class=data.draw(st.sampled_from([None, 1])))
    sparse = [(t, p.argmax(-1).astype(np.float32)) for t, p in batches]
    assert_equal("OneHotMeanIoU", sparse, size, sparse_y_pred=True)


@equal("metrics", "BinaryIoU")
@quick
@given(data=st.data())
def test_binary_iou(data: Data) -> None:
    batches = data.draw(pairs("label", data.draw(scores)))
    ids = data.draw(st.sampled_from([(0, 1), (0,), (1,)]))
    assert_equal("BinaryIoU", batches, ids, data.draw(threshold))


@quick
@given(data=st.data())
def test_confusion_matrix_and_matthews_correlation(data: Data) -> None:
    sparse = data.draw(st.booleans())
    batches = data.draw(pairs("class" if sparse else "hot", "step"))
    size = batches[0][1].shape[-1]
    true = np.concatenate([(t if sparse else t.argmax(-1)).ravel() for t, _ in batches])
    predicted = np.concatenate([p.argmax(-1).ravel() for _, p in batches])
    expected = sklearn.metrics.confusion_matrix(true, predicted, labels=range(size))
    np.testing.assert_array_equal(ours(metrics.ConfusionMatrix(), batches), expected)
    correlation = sklearn.metrics.matthews_corrcoef(true, predicted)
    assert ours(metrics.MatthewsCorrelation(), batches) == pytest.approx(correlation, abs=1e-9)


@quick
@given(batches=pairs("label", "step", (1,)))
def test_confusion_matrix_of_one_output(batches: list[tuple[Array, Array]]) -> None:
    true, predicted = (np.concatenate([b[i].ravel() for b in batches]) for i in (0, 1))
    expected = sklearn.metrics.confusion_matrix(true, predicted > 0.3, labels=[0, 1])
    np.testing.assert_array_equal(ours(metrics.ConfusionMatrix(0.3), batches), expected)
