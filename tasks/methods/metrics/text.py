"""Scores of generated texts, and of the likelihood of the true ones.

Sources: Jelinek et al. 1977 (perplexity); Lin 2004, W04-1013 (ROUGE-L), as rouge-score computes it.
Legend of shapes: G groups, R resamples, S sums.
"""

from functools import partial

import numpy as np
from scipy.sparse import csr_matrix

from tasks.methods.metrics.score import Labels, Score, add_rows, mean_of_rows


def true_or_empty(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    return truth_G, np.full(len(truth_G), "", dtype=object)


def finished_or_not(truth_G: np.ndarray, counts_G: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(len(truth_G), dtype=np.int64), np.zeros(len(truth_G), dtype=np.int64)


def sum_likelihoods(num_tokens_G: np.ndarray, log_likelihood_G: np.ndarray, labels: Labels) -> csr_matrix:
    """Return the log-likelihood of the true answer, and its number of tokens; shape (G, 2)."""
    return csr_matrix(np.stack([log_likelihood_G, num_tokens_G], axis=1))


def likelihood(sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Mean log-likelihood per token of the true answers, in nats, higher is better; and the perplexity."""
    mean_R = sums_RS[:, 0] / sums_RS[:, 1]
    return {"answer_log_likelihood": mean_R, "perplexity": np.exp(-mean_R)}


def count_finished(truth_G: np.ndarray, is_finished_G: np.ndarray, labels: Labels) -> csr_matrix:
    return add_rows(is_finished_G)


def sum_rouge_l(truth_G: np.ndarray, answer_G: np.ndarray, labels: Labels) -> csr_matrix:
    """F1 of the longest common subsequence of words, which are runs of a to z and 0 to 9."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    f1_G = [scorer.score(truth, answer)["rougeL"].fmeasure for truth, answer in zip(truth_G, answer_G, strict=True)]
    return add_rows(np.array(f1_G))


# There is no worst likelihood, so the gate adds no row.
LIKELIHOOD = Score(sum_likelihoods, likelihood, columns=("num_tokens", "log_likelihood"))
FINISHED = Score(count_finished, partial(mean_of_rows, "finished"), ("truth", "is_finished"), finished_or_not)
ROUGE_L = Score(sum_rouge_l, partial(mean_of_rows, "rouge_l"), extremes=true_or_empty)
