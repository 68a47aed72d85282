"""What a request costs: the service beside the least that the same work could cost."""
