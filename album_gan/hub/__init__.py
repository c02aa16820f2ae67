"""Publishing on the Hugging Face Hub: models, cards, the page as a Space."""
