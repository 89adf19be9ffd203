"""What a hostile reviewer or a careless user would try, one function an attack, by number.

A module here holds functions `attack_NN_short_name(folder: Path) -> Outcome`; several may share a
number. Each really makes its attempt, in an empty folder of its own, and looks at what the user
would see: the error, or the page.
"""
