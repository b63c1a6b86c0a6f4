"""How traffic moves: by one writer, whether it is split by hand or a policy moves it by itself."""
