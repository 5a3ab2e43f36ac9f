from benchmarks import rows


async def test_all_subjects_agree_and_are_measured() -> None:
    to_csv, to_json = await rows.measured(50, 1)
    assert to_csv.ratio(rows.OURS, "cpu", rows.WRITER).median > 0
    assert to_json.ratio(rows.OURS, "cpu", rows.DUMPS).median > 0
