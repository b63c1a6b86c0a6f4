"""What a sentence model is made of: its files, its tokenizer, rows by length, and where its ONNX graph comes from."""
