"""What an operator changes of a running platform: how many replicas the gateway has, and the code it runs."""
