"""What a plan says of its texts' padding."""

from kvdistill.cluster.text_lengths import describe_real_share


def test_packing_is_proposed_where_much_of_what_is_computed_is_padding():
    batches = {"group_by_length": False, "packing": False}
    sentence = describe_real_share(batches, 0.453, 0.988)
    assert sentence == (
        "45.3% of the tokens that a student computes are texts' own (train.group_by_length=false, "
        "train.packing=false); with train.packing=true 98.8% would be."
    )


def test_nothing_is_proposed_where_hardly_anything_is_padding_or_texts_share_rows_already():
    grouped = {"group_by_length": True, "packing": False}
    assert describe_real_share(grouped, 0.96, 0.99).endswith("packing=false).")
    packed = {"group_by_length": False, "packing": True}
    assert describe_real_share(packed, 0.94, 0.94).endswith("packing=true).")
