"""Majority baseline: the most frequent label of the training rows, for every row."""

import pandas as pd


def answer_alike(train: pd.DataFrame, test: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Predict the same class number for all test rows, with the truth."""
    truth = [labels.index(label) for label in test["label"]]
    return pd.DataFrame({"id": test["id"], "answer": labels.index(train["label"].mode()[0]), "truth": truth})
