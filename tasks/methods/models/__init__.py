"""A model's folder: weights, tokenizer, predictions, in this process or an isolated one."""
