"""Score one model, rank several, and explain what scoring would run and cost."""
