"""What scores are worth on a task of one's own, learnt from a few trainings."""
