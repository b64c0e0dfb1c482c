"""What each flow does: a function of its config that returns the record of a run."""
