"""Budgets that are derived: as many steps as take the operations of another arm."""
