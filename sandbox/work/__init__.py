"""Work: what runs without a request, as named duties."""
