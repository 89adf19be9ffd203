"""Which text is exchanged with which."""

from kvdistill.kv.shuffle_pairs import choose_partners


def test_the_next_text_of_another_row():
    partners, paired = choose_partners(["a:cot", "a:direct", "b:cot", "c:x:cot"])
    assert partners == [2, 2, 3, 0]
    assert paired.all()


def test_a_text_that_only_its_own_row_stands_beside_has_none():
    assert choose_partners(["a:cot", "a:direct"])[1].tolist() == [False, False]
    assert choose_partners(["plain", "other"])[0] == [1, 0]
