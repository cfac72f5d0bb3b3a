"""BLEU of all rows together, from counts that add up over rows. Source: Papineni et al. 2002 (P02-1040).

Equal to sacrebleu (Post 2018, W18-6319) divided by 100: n-grams up to four, exponential smoothing.
Legend of shapes: G groups, R resamples, S sums: matching and predicted n-grams by length, predicted words, true words.
"""

from functools import partial

import numpy as np
from scipy.sparse import csr_matrix

from tasks.methods.metrics.score import Labels, Score
from tasks.methods.metrics.text import true_or_empty

LENGTHS = 4


def count_ngrams(tokenizer: str, truth_G: np.ndarray, answer_G: np.ndarray, labels: Labels) -> csr_matrix:
    """Count the n-grams and words of each row, by a tokenizer of sacrebleu; shape (G, 10)."""
    from sacrebleu.metrics.bleu import BLEU

    # effective_order matters only for scores of single rows, which are not used.
    bleu = BLEU(tokenize=tokenizer, effective_order=True)
    rows = [bleu.sentence_score(answer, [truth]) for truth, answer in zip(truth_G, answer_G, strict=True)]
    return csr_matrix([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], dtype=np.int64)


def bleu_of(name: str, sums_RS: np.ndarray, labels: Labels) -> dict[str, np.ndarray]:
    """Geometric mean of the n-gram precisions, times the brevity penalty; 0 to 1."""
    from sacrebleu.metrics.bleu import BLEU

    # Weighted rows give fractional counts; sacrebleu accepts them for n-grams but not for words.
    scores = [
        BLEU.compute_bleu(sums[:LENGTHS], sums[LENGTHS:-2], round(sums[-2]), round(sums[-1]), "exp")
        for sums in sums_RS.tolist()
    ]
    return {name: np.array([score.score / 100 for score in scores])}


# Words between spaces and punctuation; in Chinese each character is a word.
WORDS = Score(partial(count_ngrams, "13a"), partial(bleu_of, "bleu"), extremes=true_or_empty)
CHINESE = Score(partial(count_ngrams, "zh"), partial(bleu_of, "bleu_zh"), extremes=true_or_empty)
