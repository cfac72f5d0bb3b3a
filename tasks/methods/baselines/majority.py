"""The label that most training rows have, for every row."""

import pandas as pd


def answer_alike(train: pd.DataFrame, test: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Give one class number for all test rows, with the truth."""
    truth = [labels.index(label) for label in test["label"]]
    return pd.DataFrame({"id": test["id"], "answer": labels.index(train["label"].mode()[0]), "truth": truth})
