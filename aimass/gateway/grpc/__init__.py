"""The gRPC door: the Open Inference Protocol's service on grpc.aio, beside the HTTP door and with the same rules."""
