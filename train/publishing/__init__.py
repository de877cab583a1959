"""What is made of finished runs on the Hugging Face Hub: repositories of models, collections, a Space."""
