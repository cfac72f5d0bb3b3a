"""Reports: pages, pictures, model cards, CI comments."""
