"""WHO may send it, and what did it cost? Pure, sans-IO."""
