"""The folder of a pretrained model, inspected: configuration, weights, tokenizer, chat template."""
