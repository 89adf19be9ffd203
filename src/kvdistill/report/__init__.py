"""Claims to figures, tables and one HTML page. No torch: rebuilt on a laptop."""
