"""The recipe of a model, ``training_info``: read, checked, and composed of loss, optimizer and metrics.

:mod:`neuromatic.recipe.schema` and :mod:`neuromatic.recipe.sections` read; :mod:`neuromatic.recipe.compose`
writes, and is imported where a recipe is made.
"""
