"""What a run becomes on paper. Takes plain facts of a run; imports nothing that computes."""
