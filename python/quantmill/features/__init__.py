"""Facts about sessions and symbols that SQL cannot compute by itself."""
