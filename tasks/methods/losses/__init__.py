"""Training losses and class weights."""
