"""A convolutional network for small square pictures: how it learns, alone or in Ray Train's workers. Needs PyTorch."""
