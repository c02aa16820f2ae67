"""Publishing on the Hugging Face Hub: models, model cards, the page as a Space."""
