"""Rows in fewer bits: how far a number may be from the teacher's, and that it is no further."""

import pytest
import torch


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_number_is_off_by_no_more_than_its_stated_error_beside_a_huge_constant(dtype):
    from kvdistill.kv.quantise import QuantisedRows

    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 7, generator=generator) + 900 * torch.arange(7)
    rows[:, 3] = 5  # does not vary
    coded = QuantisedRows.quantise(rows, dtype)
    decoded, bound = torch.empty_like(rows), torch.empty_like(rows)
    coded.dequantise(decoded)
    coded.bound_error(bound)
    off = (decoded.double() - rows.double()).abs()
    assert (off <= bound).all()
    share = (off / bound)[:, 1:3].max()
    assert 0.5 < share <= 1  # the bound is no wish
    raw = (rows.bfloat16().float() - rows).abs()
    assert off[:, 4:].max() < 0.05 < raw[:, 4:].max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_parts_are_decoded_each_by_its_own_constants(dtype):
    from kvdistill.kv.quantise import QuantisedRows, dequantise_parts

    generator = torch.Generator().manual_seed(0)
    parts = [
        QuantisedRows.quantise(torch.randn(n, 3, generator=generator) + 7 * n, dtype)
        for n in (2, 5)
    ]
    joined = dequantise_parts(parts)
    assert torch.equal(joined, torch.cat([dequantise_parts([part]) for part in parts]))
    assert joined[:2].mean() < 20 < joined[2:].mean()
