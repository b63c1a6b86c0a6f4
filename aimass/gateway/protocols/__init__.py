"""What stands on the wire: the Open Inference Protocol's requests and answers, their tensors and their bytes."""
