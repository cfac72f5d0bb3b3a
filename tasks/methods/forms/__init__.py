"""Forms of texts and labels: the forms that a problem expects, and equivalent spellings of them."""
