"""TF-IDF baseline: words, word pairs and character n-grams, with logistic regression.

Source: the text classification baseline of scikit-learn's user guide, with character n-grams for languages that write
no blanks between words.
"""

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union


def answer_by_words(train: pd.DataFrame, test: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    """Learn from rows (text, label) and predict the class numbers of test rows, with the truth."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    model = make_pipeline(make_union(words, pieces), LogisticRegression(max_iter=2_000))
    model.fit(train["text"], train["label"])
    answers = [labels.index(label) for label in model.predict(test["text"])]
    return pd.DataFrame(
        {"id": test["id"], "answer": answers, "truth": [labels.index(label) for label in test["label"]]}
    )
