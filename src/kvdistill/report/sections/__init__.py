"""What stands in each section of the page: texts, tables and figures, from the claims."""
