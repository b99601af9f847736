"""Score one model, rank several models, and explain what scoring would run and cost."""
